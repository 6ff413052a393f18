//! Metrics, by the conventions of Prometheus. One registry a pipeline, no global.
//!
//! Every series that a component keeps exists from the start, at zero, so that `rate()` sees its first event. What only
//! some kinds of components keep is not shown of the others: zero would be a false answer.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

const COMPONENT: [&str; 3] = ["component_id", "component_kind", "component_type"];

/// What a component is, for its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentLabels {
    /// Its id in the config.
    pub id: String,
    /// `source`, `transform` or `sink`.
    pub kind: &'static str,
    /// Its type, such as `parquet`.
    pub component_type: String,
}

/// The metrics of a pipeline.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    received_events: IntCounterVec,
    sent_events: IntCounterVec,
    errors: IntCounterVec,
    received_bytes: IntCounterVec,
    rejected_events: IntCounterVec,
    discarded_events: IntCounterVec,
    buffer_events: IntGaugeVec,
    checkpoint_age: IntGaugeVec,
    delivery_seconds: HistogramVec,
    services: Services,
}

/// The metrics of sources that ask services for records, by tenant.
#[derive(Debug, Clone)]
struct Services {
    lag: IntGaugeVec,
    requests: IntCounterVec,
    throttled: IntCounterVec,
    feed_lag: IntGaugeVec,
    unacknowledged_age: IntGaugeVec,
    expires_in: IntGaugeVec,
    missing: IntGaugeVec,
}

/// The metrics of one component.
#[derive(Debug, Clone)]
pub struct ComponentMetrics {
    labels: ComponentLabels,
    errors: IntCounterVec,
    services: Services,
    /// Events that came in.
    pub received_events: IntCounter,
    /// Events that went out, or were delivered.
    pub sent_events: IntCounter,
    /// Bytes of records that came in. Sources keep it.
    pub received_bytes: IntCounter,
    /// Records put into the dead-letter file. Sources and sinks keep it.
    pub rejected_events: IntCounter,
    /// Events dropped on purpose: filtered out, or duplicates. Sources and transforms keep it.
    pub discarded_events: IntCounter,
    /// Events that wait in front of the component, or that it holds. Sinks keep it.
    pub buffer_events: IntGauge,
    /// Age in seconds of the oldest batch that is not acknowledged; 0 if there is none. Sources keep it.
    pub checkpoint_age_seconds: IntGauge,
    /// How long deliveries took, in seconds. Sinks keep it.
    pub delivery_seconds: Histogram,
}

/// The gauges of one feed of one tenant.
#[derive(Debug, Clone)]
pub struct FeedMetrics {
    /// How long ago the time is up to which the feed was listed.
    pub lag_seconds: IntGauge,
    /// Age of the oldest content that was listed and is not acknowledged; 0 if there is none.
    pub oldest_unacknowledged_seconds: IntGauge,
    /// Time until something expires that is neither acknowledged nor spooled, be it listed already or not; -1 while
    /// nothing was ever listed.
    pub expires_in_seconds: IntGauge,
    /// Ranges and items that are missing.
    pub gaps: IntGauge,
}

impl Metrics {
    /// An empty registry with all metrics declared.
    ///
    /// # Errors
    /// If prometheus refuses a name, which only a change of this file can cause.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGaugeVec, prometheus::Error> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &COMPONENT)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let feed_gauge = |name: &str, help: &str| -> Result<IntGaugeVec, prometheus::Error> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["component_id", "tenant", "feed"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let with_error_type = ["component_id", "component_kind", "component_type", "error_type"];
        let delivery_seconds = HistogramVec::new(
            HistogramOpts::new("downspout_delivery_duration_seconds", "Time a sink took for one delivery."),
            &COMPONENT,
        )?;
        registry.register(Box::new(delivery_seconds.clone()))?;
        Ok(Metrics {
            received_events: counter(
                "downspout_component_received_events_total",
                "Events that reached the component.",
                &COMPONENT,
            )?,
            sent_events: counter(
                "downspout_component_sent_events_total",
                "Events that left the component, or were delivered.",
                &COMPONENT,
            )?,
            errors: counter("downspout_component_errors_total", "Errors of the component, by type.", &with_error_type)?,
            received_bytes: counter(
                "downspout_component_received_bytes_total",
                "Bytes of records that reached a source, unpacked.",
                &COMPONENT,
            )?,
            rejected_events: counter(
                "downspout_component_rejected_events_total",
                "Records put into the dead-letter file.",
                &COMPONENT,
            )?,
            discarded_events: counter(
                "downspout_component_discarded_events_total",
                "Events dropped on purpose.",
                &COMPONENT,
            )?,
            buffer_events: gauge("downspout_buffer_events", "Events that wait in front of a sink, or that it holds.")?,
            checkpoint_age: gauge(
                "downspout_checkpoint_age_seconds",
                "Age of the oldest batch of a source that is not delivered everywhere. 0 if there is none.",
            )?,
            delivery_seconds,
            services: Services {
                lag: gauge(
                    "downspout_source_lag_seconds",
                    "Time up to which a source that asks services has listed all its feeds, before now.",
                )?,
                requests: counter(
                    "downspout_source_requests_total",
                    "Requests to services, by tenant, API and HTTP status (or what went wrong without one).",
                    &["component_id", "tenant", "api", "status"],
                )?,
                throttled: counter(
                    "downspout_source_throttled_total",
                    "Requests that a service refused as too many.",
                    &["component_id", "tenant", "api"],
                )?,
                feed_lag: feed_gauge(
                    "downspout_feed_lag_seconds",
                    "Time up to which a feed has been listed, before now.",
                )?,
                unacknowledged_age: feed_gauge(
                    "downspout_feed_oldest_unacknowledged_seconds",
                    "Age of the oldest content that was listed and is not delivered. 0 if there is none.",
                )?,
                expires_in: feed_gauge(
                    "downspout_feed_expires_in_seconds",
                    "Time until the first content expires that is neither delivered nor spooled, listed or not. -1 before the first listing.",
                )?,
                missing: feed_gauge(
                    "downspout_feed_gaps",
                    "Ranges or items of a feed that are missing; `downspout gaps` lists them.",
                )?,
            },
            registry,
        })
    }

    /// The metrics of one component, all series that its kind keeps at zero.
    pub fn component(&self, labels: ComponentLabels) -> ComponentMetrics {
        let values = [labels.id.as_str(), labels.kind, labels.component_type.as_str()];
        let metrics = ComponentMetrics {
            errors: self.errors.clone(),
            services: self.services.clone(),
            received_events: self.received_events.with_label_values(&values),
            sent_events: self.sent_events.with_label_values(&values),
            received_bytes: self.received_bytes.with_label_values(&values),
            rejected_events: self.rejected_events.with_label_values(&values),
            discarded_events: self.discarded_events.with_label_values(&values),
            buffer_events: self.buffer_events.with_label_values(&values),
            checkpoint_age_seconds: self.checkpoint_age.with_label_values(&values),
            delivery_seconds: self.delivery_seconds.with_label_values(&values),
            labels: labels.clone(),
        };
        // Whoever holds a series that was taken out may go on to use it; it is shown no more. All of them are there.
        if labels.kind != "source" {
            let _ = self.received_bytes.remove_label_values(&values);
            let _ = self.checkpoint_age.remove_label_values(&values);
        }
        if labels.kind == "transform" {
            let _ = self.rejected_events.remove_label_values(&values);
        }
        if labels.kind == "sink" {
            let _ = self.discarded_events.remove_label_values(&values);
        } else {
            let _ = self.buffer_events.remove_label_values(&values);
            let _ = self.delivery_seconds.remove_label_values(&values);
        }
        metrics
    }

    /// The registry, for metrics that only one component has.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Writing into memory fails only for a metric without a name, and all of them have one.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl ComponentMetrics {
    /// Metrics that nobody reads: for tests, and for programs that embed a component alone.
    ///
    /// # Errors
    /// As [`Metrics::new`].
    pub fn detached(id: &str, kind: &'static str, component_type: &str) -> Result<ComponentMetrics, prometheus::Error> {
        let labels = ComponentLabels { id: id.to_owned(), kind, component_type: component_type.to_owned() };
        Ok(Metrics::new()?.component(labels))
    }

    /// What the component is.
    pub fn labels(&self) -> &ComponentLabels {
        &self.labels
    }

    /// Counts a request to a service. `status` is the HTTP status, or a short word if there was none.
    pub fn request(&self, tenant: &str, api: &str, status: &str) {
        self.services.requests.with_label_values(&[self.labels.id.as_str(), tenant, api, status]).inc();
    }

    /// Counts a request that a service refused as one too many.
    pub fn throttled(&self, tenant: &str, api: &str) {
        self.services.throttled.with_label_values(&[self.labels.id.as_str(), tenant, api]).inc();
    }

    /// Seconds from the time up to which all feeds were listed to now. Sources that ask services keep it; the series
    /// exists once it was asked for.
    pub fn lag_seconds(&self) -> IntGauge {
        let labels = &self.labels;
        self.services.lag.with_label_values(&[labels.id.as_str(), labels.kind, labels.component_type.as_str()])
    }

    /// The gauges of one feed of one tenant.
    pub fn feed(&self, tenant: &str, feed: &str) -> FeedMetrics {
        let values = [self.labels.id.as_str(), tenant, feed];
        let expires_in_seconds = self.services.expires_in.with_label_values(&values);
        expires_in_seconds.set(-1);
        FeedMetrics {
            lag_seconds: self.services.feed_lag.with_label_values(&values),
            oldest_unacknowledged_seconds: self.services.unacknowledged_age.with_label_values(&values),
            expires_in_seconds,
            gaps: self.services.missing.with_label_values(&values),
        }
    }

    /// Counts an error. `error_type` is a short, fixed word.
    pub fn error(&self, error_type: &'static str) {
        let labels = &self.labels;
        self.errors
            .with_label_values(&[labels.id.as_str(), labels.kind, labels.component_type.as_str(), error_type])
            .inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_shows_the_series_that_its_kind_keeps() {
        let shown = |kind: &'static str| {
            let metrics = Metrics::new().unwrap();
            let labels = ComponentLabels { id: "it".to_owned(), kind, component_type: "test".to_owned() };
            let component = metrics.component(labels);
            // What is not shown may still be used.
            component.received_bytes.inc();
            let text = metrics.render();
            let names = [
                "received_events",
                "received_bytes",
                "rejected",
                "discarded",
                "checkpoint",
                "buffer",
                "delivery",
                "lag",
            ];
            names.into_iter().filter(|name| text.contains(&format!("_{name}"))).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown("source"), "received_events received_bytes rejected discarded checkpoint");
        assert_eq!(shown("transform"), "received_events discarded");
        assert_eq!(shown("sink"), "received_events rejected buffer delivery");
    }

    #[test]
    fn a_lag_is_shown_once_it_is_kept() {
        let metrics = Metrics::new().unwrap();
        let labels = ComponentLabels { id: "it".to_owned(), kind: "source", component_type: "test".to_owned() };
        metrics.component(labels).lag_seconds().set(7);
        let line = r#"downspout_source_lag_seconds{component_id="it",component_kind="source",component_type="test"} 7"#;
        assert!(metrics.render().contains(line));
    }
}
