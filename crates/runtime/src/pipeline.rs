//! A pipeline: a value that is opened from a plan, runs, and is gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::metrics::{ComponentLabels, ComponentMetrics, Metrics};
use downspout_core::progress::Progress;
use downspout_core::refused::Refused;
use downspout_core::stage::{Output, Shutdown};
use downspout_core::{Context, ErrorKind, FieldTable, Shared, Source, StageError, Store};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::admin;
use crate::committer::Committer;
use crate::dead_letter::DeadLetters;
use crate::plan::{Plan, Planned};
use crate::queue::Queue;
use crate::sink_driver::{Ledger, SinkDriver};
use crate::source_driver::SourceDriver;
use crate::worker::Worker;

/// A pipeline whose files are open and whose components are built.
pub struct Pipeline {
    metrics: Metrics,
    progress: Arc<Progress>,
    threads: usize,
    admin: Option<TcpListener>,
    sources: Vec<(Arc<str>, Box<dyn Source>, ComponentMetrics)>,
    worker: Worker,
    sinks: Vec<SinkDriver>,
    queues: Vec<Queue>,
    store: Arc<Store>,
    shared: Shared,
    committer: Arc<Committer>,
    dead_letters: Arc<DeadLetters>,
    checkpoint_interval: Duration,
    one_fails_all: bool,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// What a run has done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// For each component, in the order of the config: id, kind, events received, sent, rejected and discarded.
    pub components: Vec<ComponentReport>,
    /// What went wrong, a line each. Empty if all was delivered.
    pub errors: Vec<String>,
}

/// What a run has done at one component.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ComponentReport {
    /// Its id in the config.
    pub id: String,
    /// `source`, `transform` or `sink`.
    pub kind: &'static str,
    /// Events that reached it.
    pub received: u64,
    /// Events that left it, or were delivered.
    pub sent: u64,
    /// Records that it put into the dead-letter file.
    pub rejected: u64,
    /// Events that it dropped on purpose.
    pub discarded: u64,
    /// Whether it ended with an error.
    pub failed: bool,
}

impl Pipeline {
    /// Opens the store, builds every component, and finishes commits that a crash interrupted.
    ///
    /// # Errors
    /// What keeps the pipeline from starting: another process on the `data_dir`, a missing database, a port in use.
    pub async fn open(plan: Plan) -> Result<Pipeline, StageError> {
        let Plan { settings, threads, sources, transforms, sinks, graph, warnings } = plan;
        for warning in warnings.iter() {
            tracing::warn!("{}", warning.in_a_line());
        }
        let store = Arc::new(Store::open(&settings.data_dir)?);
        let admin = match &settings.admin {
            Some(admin) => Some(admin::listen(admin.listen).await?),
            None => None,
        };
        let metrics = Metrics::new().map_err(|error| StageError::stop("internal", error.to_string()))?;
        let fields = Arc::new(FieldTable::default());
        let progress = Arc::new(Progress::default());
        let dead_letters = Arc::new(DeadLetters::new(&settings.data_dir));
        let shared = Shared::default();
        let builder = Builder {
            store: &store,
            metrics: &metrics,
            fields: &fields,
            progress: &progress,
            threads,
            shared: &shared,
        };

        let transforms =
            transforms.into_iter().map(|planned| builder.build(planned, "transform")).collect::<Result<Vec<_>, _>>()?;
        let states = transforms.iter().filter_map(|(_, transform, _)| transform.state()).collect();
        let committer = Arc::new(Committer::new(Arc::clone(&store), states));
        let transforms = transforms.into_iter().map(|(_, transform, metrics)| (transform, metrics)).collect();
        let worker = Worker { transforms, graph: Arc::new(graph), fields: Arc::clone(&fields) };

        let mut drivers = Vec::new();
        let mut queues = Vec::new();
        for planned in sinks {
            let (id, sink, metrics) = builder.build(planned, "sink")?;
            let (queue, flights) = Queue::new(metrics.clone());
            queues.push(queue);
            let ledger = Ledger::load(&store, &id)?;
            let (dead_letters, committer) = (Arc::clone(&dead_letters), Arc::clone(&committer));
            let mut driver = SinkDriver { id, sink, metrics, flights, dead_letters, committer, ledger };
            driver.recover().await.map_err(|error| at_start("sink", &driver.id, &error))?;
            drivers.push(driver);
        }
        shared.get::<Refused>().expect(sources.len());
        let sources = sources.into_iter().map(|planned| builder.build(planned, "source")).collect::<Result<_, _>>()?;
        Ok(Pipeline {
            metrics,
            progress,
            threads,
            admin,
            sources,
            worker,
            sinks: drivers,
            queues,
            store,
            shared,
            committer,
            dead_letters,
            checkpoint_interval: settings.checkpoint_interval.0,
            one_fails_all: true,
        })
    }

    /// A source that fails does not stop the others: for sources that end by themselves, of which each is worth having
    /// alone. What cannot be delivered stops all of them still.
    #[must_use]
    pub fn each_on_its_own(self) -> Pipeline {
        Pipeline { one_fails_all: false, ..self }
    }

    /// The pipeline's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How far the sources have read, for progress bars.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// What its components have in common, for whoever wants to look into that while it runs.
    pub fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// The pipeline's store, for whoever wants to look into ledgers while it runs.
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// Where dead letters go.
    pub fn dead_letter_folder(&self) -> &std::path::Path {
        self.dead_letters.folder()
    }

    /// Runs until all sources have ended, or until `stop` becomes true; then drains, commits and returns.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Report {
        // One failure stops everything, unless it was said that sources fail alone: what is under way is drained, what is
        // not acknowledged is read again.
        let (stop_all, shutdown) = Shutdown::new();
        let forward = tokio::spawn(forward(stop, stop_all.clone()));
        let admin = self.admin.map(|listener| {
            tokio::spawn(admin::serve(listener, self.metrics.clone(), shutdown.clone(), Arc::clone(&self.store)))
        });
        let components: Vec<ComponentMetrics> = self
            .sources
            .iter()
            .map(|(_, _, metrics)| metrics)
            .chain(self.worker.transforms.iter().map(|(_, metrics)| metrics))
            .chain(self.queues.iter().map(|queue| &queue.metrics))
            .cloned()
            .collect();

        let (idle_sender, idle) = async_channel::bounded(self.threads);
        for _ in 1..self.threads {
            // The channel has room for every worker.
            let _ = idle_sender.try_send(self.worker.fork());
        }
        let _ = idle_sender.try_send(self.worker);

        let mut tasks: JoinSet<(Arc<str>, Vec<String>)> = JoinSet::new();
        for driver in self.sinks {
            let (id, stop_all) = (Arc::clone(&driver.id), stop_all.clone());
            tasks.spawn(async move {
                let Err(error) = driver.run().await else { return (id, Vec::new()) };
                let _ = stop_all.send(true);
                let error = format!("sink {id}: {error}");
                (id, vec![error])
            });
        }
        let one_fails_all = self.one_fails_all;
        for (index, (id, source, metrics)) in self.sources.into_iter().enumerate() {
            // A source that reads ahead finds its thread's turn in time: workers seldom wait for it.
            let (sender, batches) = mpsc::channel(self.threads + 2);
            let output = Output::new(Arc::clone(&id), Arc::clone(&self.store), sender);
            let driver = SourceDriver {
                index,
                id: Arc::clone(&id),
                metrics: metrics.clone(),
                batches,
                workers: (idle_sender.clone(), idle.clone()),
                threads: self.threads,
                sinks: self.queues.clone(),
                dead_letters: Arc::clone(&self.dead_letters),
                committer: Arc::clone(&self.committer),
                checkpoint_interval: self.checkpoint_interval,
            };
            let (shutdown, stop_all) = (shutdown.clone(), stop_all.clone());
            let can_replay = source.can_replay();
            tasks.spawn(async move {
                let reading = tokio::spawn(source.run(output, shutdown));
                let driven = driver.run().await;
                if driven.is_err() {
                    // Otherwise a source that waits for news would wait for ever.
                    let _ = stop_all.send(true);
                }
                let read = reading
                    .await
                    .unwrap_or_else(|error| Err(StageError::stop("internal", format!("it died: {error}"))));
                let mut errors = Vec::new();
                if let Err(error) = read {
                    metrics.error(error.error_type());
                    errors.push(format!("source {id}: {error}"));
                }
                match driven {
                    Err(error) => errors.push(format!("source {id}: {error}")),
                    Ok(outcome) if outcome.undelivered_batches > 0 => {
                        errors.push(format!("source {id}: {}", undelivered(outcome.undelivered_batches, can_replay)));
                    }
                    Ok(_) => {}
                }
                if !errors.is_empty() && one_fails_all {
                    let _ = stop_all.send(true);
                }
                (id, errors)
            });
        }
        drop((self.queues, idle_sender, idle));

        let (mut errors, mut failed) = (Vec::new(), BTreeSet::new());
        while let Some(finished) = tasks.join_next().await {
            let found = match finished {
                Ok((id, found)) => {
                    failed.extend((!found.is_empty()).then_some(id));
                    found
                }
                Err(error) => {
                    let _ = stop_all.send(true);
                    vec![format!("a task died: {error}")]
                }
            };
            for error in &found {
                tracing::error!("{error}");
            }
            errors.extend(found);
        }
        forward.abort();
        if let Some(admin) = admin {
            admin.abort();
        }
        let report = |metrics: &ComponentMetrics| report(metrics, failed.contains(&*metrics.labels().id));
        Report { components: components.iter().map(report).collect(), errors }
    }
}

/// What is said of batches that did not arrive.
fn undelivered(batches: u64, can_replay: bool) -> String {
    let (were, them) = if batches == 1 { ("batch was", "it") } else { ("batches were", "them") };
    let next = match can_replay {
        true => format!("the next run reads {them} again"),
        false => format!("no run can read {them} again: feed this input once more, or keep it in a file"),
    };
    format!("{batches} {were} not delivered; {next}")
}

fn report(metrics: &ComponentMetrics, failed: bool) -> ComponentReport {
    let labels = metrics.labels();
    ComponentReport {
        id: labels.id.clone(),
        kind: labels.kind,
        received: metrics.received_events.get(),
        sent: metrics.sent_events.get(),
        rejected: metrics.rejected_events.get(),
        discarded: metrics.discarded_events.get(),
        failed,
    }
}

async fn forward(mut stop: watch::Receiver<bool>, to: watch::Sender<bool>) {
    if stop.wait_for(|stop| *stop).await.is_ok() {
        let _ = to.send(true);
    } else {
        // Whoever could have asked for a stop is gone; the pipeline then runs until its sources end.
        std::future::pending::<()>().await;
    }
}

/// What every component is built with.
struct Builder<'p> {
    store: &'p Arc<Store>,
    metrics: &'p Metrics,
    fields: &'p Arc<FieldTable>,
    progress: &'p Arc<Progress>,
    threads: usize,
    shared: &'p Shared,
}

impl Builder<'_> {
    fn build<Stage>(
        &self,
        planned: Planned<Stage>,
        kind: &'static str,
    ) -> Result<(Arc<str>, Stage, ComponentMetrics), StageError> {
        let Planned { id, component_type, build, .. } = planned;
        let metrics =
            self.metrics.component(ComponentLabels { id: id.clone(), kind, component_type: component_type.to_owned() });
        let id: Arc<str> = id.into();
        let context = Context {
            id: Arc::clone(&id),
            store: Arc::clone(self.store),
            fields: Arc::clone(self.fields),
            metrics: metrics.clone(),
            progress: Arc::clone(self.progress),
            threads: self.threads,
            shared: self.shared.clone(),
        };
        let stage = build(context).map_err(|error| at_start(kind, &id, &error))?;
        Ok((id, stage, metrics))
    }
}

/// The error of a component that cannot start. What would be retried later stops the pipeline now: whoever starts it is
/// there to mend it.
fn at_start(kind: &str, id: &str, error: &StageError) -> StageError {
    let then = if error.kind() == ErrorKind::Retry { "; then start again" } else { "" };
    StageError::stop(error.error_type(), format!("{kind} {id}: {error}{then}"))
}

#[cfg(test)]
mod tests;
