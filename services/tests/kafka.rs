//! Brokers start, die and come back on their ports; what was written stays.

use flashsale_services::{Kafka, KafkaOptions, StartError};

#[test]
fn a_broker_that_was_killed_comes_back_on_its_port() {
    let kafka = Kafka::start(&KafkaOptions::default());
    let port = kafka.port(0);
    assert_eq!(kafka.brokers(), format!("127.0.0.1:{port}"));
    kafka.kill9(0);
    assert!(!kafka.is_running(0));
    kafka.restart(0);
    assert!(kafka.is_running(0));
    assert_eq!(kafka.port(0), port);
    kafka.stop(0);
    assert!(!kafka.is_running(0));
    let folder = kafka.dir(0).to_owned();
    drop(kafka);
    assert!(!folder.exists());
}

#[test]
fn a_setting_that_kafka_refuses_is_told_in_its_words() {
    let options =
        KafkaOptions { extra: vec![("num.network.threads".into(), "none".into())], ..KafkaOptions::default() };
    let Err(StartError::Ended { said, .. }) = Kafka::try_start(&options) else { panic!("it started") };
    assert!(said.contains("num.network.threads"), "{said}");
}

#[test]
fn three_brokers_are_one_cluster() {
    let kafka = Kafka::start(&KafkaOptions { brokers: 3, ..KafkaOptions::default() });
    assert_eq!(kafka.brokers().split(',').count(), 3);
    kafka.kill9(1);
    assert!(kafka.is_running(0) && !kafka.is_running(1) && kafka.is_running(2));
    kafka.restart(1);
}
