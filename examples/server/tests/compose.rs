//! The compose file of `deploy/`: as far as it can be checked without a Docker engine.

use flashsale_server::config::{TABLE, Values};
use serde_json::Value;

fn compose() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/compose.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn services(compose: &Value) -> impl Iterator<Item = (&String, &Value)> {
    compose["services"].as_object().unwrap().iter()
}

fn variables(service: &Value) -> Vec<(String, String)> {
    let given = service["environment"].as_object().into_iter().flatten();
    given.map(|(name, value)| (name.clone(), value.as_str().expect("a text in quotes").to_owned())).collect()
}

#[test]
fn every_variable_of_a_server_is_a_setting_with_a_value_within_its_bounds() {
    let compose = compose();
    let mut servers = 0;
    for (name, service) in services(&compose).filter(|(name, _)| name.starts_with("server-")) {
        servers += 1;
        let given = variables(service);
        for (variable, _) in &given {
            assert!(TABLE.iter().any(|entry| entry.variable() == *variable), "{name}: {variable} is no setting");
        }
        let config = Values::gather(None, given, []).unwrap().config().unwrap();
        assert!(config.redis_url.is_some() && config.kafka_brokers.is_some(), "{name}");
        assert_eq!(config.sql_url.word(), "postgres", "{name}");
        assert!(config.http_bind.ip().is_loopback(), "{name}: anybody is any member there");
        let upstream = format!("server {} ", config.http_bind);
        assert!(
            compose["configs"]["entrance"]["content"].as_str().unwrap().contains(&upstream),
            "{name}: no way to it"
        );
        let grace = service["stop_grace_period"].as_str().and_then(|text| text.strip_suffix('s')).unwrap();
        assert!(grace.parse::<u64>().unwrap() * 1_000 > 2 * config.http_shutdown_ms, "{name}: killed while it stops");
    }
    assert_eq!(servers, 2);
}

#[test]
fn every_store_is_pinned_watched_and_out_of_reach() {
    let compose = compose();
    for (name, service) in services(&compose) {
        let image = service["image"].as_str().unwrap();
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        assert!(!tag.is_empty() && tag != "latest", "{name}: {image} has no tag");
        let own = service.get("build").is_some();
        assert!(own || tag.split(['-']).next().unwrap().split('.').count() == 3 || name == "postgres", "{name}: {tag}");
        assert!(
            service["healthcheck"]["test"].as_array().is_some_and(|test| test[0] == "CMD"),
            "{name} is not watched"
        );
        assert!(service["restart"].is_string(), "{name}");
        match service.get("ports") {
            Some(ports) => {
                let ports = ports.as_array().unwrap().iter().map(|port| port.as_str().unwrap());
                assert!(ports.into_iter().all(|port| port.starts_with("127.0.0.1:")), "{name} is open to others");
            }
            None if own => assert_eq!(service["network_mode"], "service:entrance", "{name}"),
            None => assert_eq!(service["networks"], serde_json::json!(["inside"]), "{name}"),
        }
    }
    assert_eq!(compose["networks"]["inside"]["internal"], true);
}

#[test]
fn servers_wait_for_stores_that_answer_and_stores_keep_what_they_acknowledged() {
    let compose = compose();
    let service = |name: &str| &compose["services"][name];
    for name in ["server-1", "server-2"] {
        for store in ["redis", "kafka", "postgres"] {
            assert_eq!(service(name)["depends_on"][store]["condition"], "service_healthy", "{name}: {store}");
        }
    }
    let has = |name: &str, words: &[&str]| {
        let command = service(name)["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        let command: Vec<&str> = command.collect();
        assert!(command.windows(words.len()).any(|window| window == words), "{name} lacks {words:?}");
    };
    has("redis", &["--maxmemory-policy", "noeviction"]);
    has("redis", &["--appendonly", "yes"]);
    has("postgres", &["-c", "fsync=on"]);
    has("postgres", &["-c", "synchronous_commit=on"]);
    for name in ["redis", "kafka", "postgres"] {
        let volume = service(name)["volumes"][0].as_str().unwrap().split_once(':').unwrap().0;
        assert!(compose["volumes"].get(volume).is_some(), "{name}: no volume {volume}");
    }
}
