//! Searches of a stretch for what another source has missed.

use super::*;
use crate::config::Common;

/// Every other record is missing.
#[derive(Debug)]
struct Even;

impl Sieve for Even {
    fn takes(&self, record: &[u8]) -> bool {
        let record: Value = serde_json::from_slice(record).unwrap();
        record["Id"].as_str().unwrap().trim_start_matches("id-").parse::<u32>().unwrap().is_multiple_of(2)
    }
}

/// Recovers the day into a pipeline that takes everything, or has stopped. Gives how it ended, and what came.
async fn recover(bench: &Bench, backend: Backend, takes: bool) -> (Result<bool, StageError>, Vec<String>) {
    let common = Common {
        tenant_id: Some(TENANT.to_owned()),
        auth: serde_json::from_value(json!({ "client_id": "app", "client_secret": "s" })).unwrap(),
        cloud: serde_json::from_value(json!({ "simulator": serve(Arc::clone(&bench.state)).await })).unwrap(),
        ..Common::default()
    };
    let connection = bench.connect(&common.plan().unwrap()).remove(0);
    let (sender, mut batches) = mpsc::channel(1_000);
    let output = Output::new("history".into(), Arc::clone(&bench.context.store), sender);
    if !takes {
        batches.close();
    }
    let stretch = ("recovered".to_owned(), at(0), at(86_400));
    let search = search_stretch(&bench.context, connection, backend, stretch, &Even, &output);
    let ended = search.run(&bench.context).await;
    let mut came = Vec::new();
    while let Ok(batch) = batches.try_recv() {
        for span in &batch.records.spans {
            let record: Value = serde_json::from_slice(&batch.records.text[span.start..span.start + span.len]).unwrap();
            came.push(record["Id"].as_str().unwrap().to_owned());
        }
        let write = Write::set(checkpoint_key("history", &batch.shard), batch.checkpoint);
        bench.context.store.write_all(&[write]).unwrap();
    }
    (ended, came)
}

#[tokio::test]
async fn only_what_was_missed_is_sent_and_all_is_compared() {
    for backend in [Backend::Graph, Backend::Exchange] {
        let bench = Bench::new(60, Faults::default());
        let (ended, came) = recover(&bench, backend, true).await;
        assert!(ended.unwrap());
        assert_eq!(came.len(), 720);
        let results = results(&bench.context.store, "history", &format!("{TENANT}/recovered")).unwrap();
        assert_eq!(results.iter().map(|result| result.records).sum::<u64>(), 1440);
        // What closes gaps is asked of a query for each reading.
        let queries = bench.state().queries.len();
        assert_eq!(queries, if backend == Backend::Graph { 2 * results.len() } else { 0 });
    }
}

#[tokio::test]
async fn a_service_that_gives_nothing_whole_fails_it_soon_and_the_next_time_it_goes_on() {
    let bench = Bench::new(60, Faults { minus_one: 1_000, ..Faults::default() });
    bench.state().page = 100;
    let (ended, mut came) = recover(&bench, Backend::Exchange, true).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("3 readings in a row were broken: a ResultIndex of -1"), "{error}");
    // Two windows at once, three readings of two calls each, and one to learn how much a call gives; no shorter windows.
    let calls = bench.state().asked_for("InvokeCommand");
    assert!(calls <= 14, "{calls} calls");
    bench.state().faults = Faults::default();
    let (ended, more) = recover(&bench, Backend::Exchange, true).await;
    assert!(ended.unwrap());
    came.extend(more);
    came.sort();
    came.dedup();
    assert_eq!(came.len(), 720);
}

#[tokio::test]
async fn what_is_too_large_is_halved() {
    let bench = Bench::new(60, Faults { too_many: 1, ..Faults::default() });
    let (ended, came) = recover(&bench, Backend::Exchange, true).await;
    assert!(ended.unwrap());
    assert_eq!(came.len(), 720);
    let results = results(&bench.context.store, "history", &format!("{TENANT}/recovered")).unwrap();
    assert_eq!(results.len(), 5);
}

#[tokio::test]
async fn it_is_not_whole_when_the_pipeline_has_stopped() {
    let bench = Bench::new(60, Faults::default());
    let (ended, came) = recover(&bench, Backend::Exchange, false).await;
    assert_eq!((ended.unwrap(), came.len()), (false, 0));
}
