//! What many clients ask a real Redis at once can be put into one order (I15), and who came first was served first (G6).

mod servers;

use std::sync::Arc;

use flashsale_testkit::history::{Plan, check, record};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_on_redis_is_linearizable() {
    let server = servers::forgetful();
    for seed in 0..4 {
        let gate = Arc::new(servers::gate(&server.url()).await);
        let history = record(gate, &Plan::of(25_000), seed).await.expect("a recording");
        let report = check(&history).unwrap_or_else(|found| panic!("seed {seed}: {found}"));
        assert!(
            report.operations >= 25_000 && report.at_once >= 4 && report.lost > 5 && report.pairs > 100,
            "{report}"
        );
        for answer in ["held", "done", "buyer_limit", "sold_out", "all_held", "early answers", "synced and sealed"] {
            assert!(report.seen.times(answer) > 0, "{answer} was not seen: {report}");
        }
    }
}
