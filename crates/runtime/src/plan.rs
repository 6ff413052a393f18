//! The validated form of a whole config. Only a plan is ever opened.

mod clash;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use downspout_core::access::Access;
use downspout_core::config_values::HumanDuration;
use downspout_core::{Build, Claim, Reads, Sink, Source, Transform};
use schemars::JsonSchema;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::components::{self, ComponentType, PlannedComponent, SINKS, SOURCES, TRANSFORMS};
use crate::config::{
    Diagnostic, Diagnostics, Env, Node, SourceMap, Span, Spanned, load, load_texts, quote, read_apart,
};
use crate::graph::{Consumer, Giver, Graph, Input, Taker};
use clash::Claims;

/// The keys of a config beside its components.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where checkpoints, state and dead letters live. One process at a time may use it.
    pub data_dir: PathBuf,
    /// How many workers parse and transform. All cores if left out.
    pub threads: Option<usize>,
    /// How often checkpoints are written. After a crash at most that much is read again.
    #[serde(default = "default_checkpoint_interval")]
    pub checkpoint_interval: HumanDuration,
    /// Serves `/metrics`, `/health` and `/ready`. Nothing is served if left out.
    pub admin: Option<AdminSettings>,
}

fn default_checkpoint_interval() -> HumanDuration {
    HumanDuration(Duration::from_secs(1))
}

/// Where the admin endpoint listens.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// Address and port, such as `127.0.0.1:9598`.
    #[serde(deserialize_with = "socket_address")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
}

fn socket_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let expected = "an IP address and a port, such as 127.0.0.1:9598";
    text.parse().map_err(|_| Error::invalid_value(Unexpected::Str(&text), &expected))
}

/// A component that is ready to be built.
pub struct Planned<Stage> {
    /// Its id in the config.
    pub id: String,
    /// Its type's name.
    pub component_type: &'static str,
    /// Builds it.
    pub build: Build<Stage>,
    /// Checks that it is allowed to do its work, if it needs rights anywhere.
    pub access: Option<Box<dyn Access>>,
    /// The key by which it was told to give records that it may have given before.
    pub repeats: Option<&'static str>,
    /// For how long it knows the records that came through, and drops them when they come again.
    pub remembers: Option<Duration>,
    /// What it has for itself alone.
    pub claim: Option<Claim>,
    /// Which files it reads, if it reads files.
    pub reads: Option<Reads>,
}

/// A `dedupe` has to remember for so long behind a source that gives again what may have arrived before. It searches from
/// a day before what it misses, and that expired a week after it was there, at the earliest; the outage took longer.
const MEMORY: HumanDuration = HumanDuration(Duration::from_secs(30 * 24 * 3600));

impl<Stage> std::fmt::Debug for Planned<Stage> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planned").field("id", &self.id).field("type", &self.component_type).finish_non_exhaustive()
    }
}

/// A pipeline that was found good.
#[derive(Debug)]
pub struct Plan {
    /// The keys beside the components.
    pub settings: Settings,
    /// How many workers there will be.
    pub threads: usize,
    /// The sources.
    pub sources: Vec<Planned<Box<dyn Source>>>,
    /// The transforms.
    pub transforms: Vec<Planned<Box<dyn Transform>>>,
    /// The sinks.
    pub sinks: Vec<Planned<Box<dyn Sink>>>,
    /// Who reads whom.
    pub graph: Graph,
    /// What is probably a mistake, and hinders nothing.
    pub warnings: Diagnostics,
}

impl Plan {
    /// Reads and checks config files.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with file, line and column.
    pub fn load(paths: &[PathBuf], env: &Env<'_>) -> Result<Plan, Diagnostics> {
        let (sources, root) = load(paths, env)?;
        Plan::from_tree(&sources, root, env)
    }

    /// The same for a text, called `name` in errors.
    ///
    /// # Errors
    /// As [`Plan::load`].
    pub fn from_text(name: &str, text: &str, env: &Env<'_>) -> Result<Plan, Diagnostics> {
        let (sources, root) = load_texts(&[(name, text)], env)?;
        Plan::from_tree(&sources, root, env)
    }

    fn from_tree(source_map: &SourceMap, mut root: Node, env: &Env<'_>) -> Result<Plan, Diagnostics> {
        // A provider's list of tenants is written by programs, and stands apart.
        let (mut problems, unread) = read_apart(source_map, &mut root, "sources", "tenants", env);
        let root = &root;
        let settings = root.deserialize_without::<Settings>("", &["sources", "transforms", "sinks"]);
        let settings = problems.collect(settings);
        let mut warnings = Diagnostics::warnings(source_map);
        let mut reader = Reader {
            problems: &mut problems,
            warnings: &mut warnings,
            unread,
            givers: Vec::new(),
            takers: Vec::new(),
            ids: HashMap::new(),
            claims: Claims::default(),
        };
        let sources = reader.section(root, "sources", "source", SOURCES, None);
        let transforms = reader.section(root, "transforms", "transform", TRANSFORMS, Some(Consumer::Transform));
        let sinks = reader.section(root, "sinks", "sink", SINKS, Some(Consumer::Sink));
        let Reader { givers, takers, .. } = reader;
        for (section, empty) in [("sources", sources.is_empty()), ("sinks", sinks.is_empty())] {
            if empty && root.entry(section).is_none_or(|entry| entry.value.entries().is_empty()) {
                let help = format!("add a component to `{section}:`");
                problems.push(Diagnostic::new(format!("the config has no {section}")).at(root.span).help(help));
            }
        }
        let place = |key: &str| root.get(key).map_or(root.span, |node| node.span);
        if settings.as_ref().is_some_and(|settings| settings.data_dir.as_os_str().is_empty()) {
            let help = "such as ./data".to_owned();
            problems.push(Diagnostic::new("data_dir is empty: expected a folder").at(place("data_dir")).help(help));
        }
        if settings.as_ref().is_some_and(|settings| settings.checkpoint_interval.0.is_zero()) {
            let problem = Diagnostic::new("checkpoint_interval must be more than nothing");
            problems.push(problem.at(place("checkpoint_interval")));
        }
        let threads = match settings.as_ref().and_then(|settings| settings.threads) {
            Some(0) => {
                problems.push(Diagnostic::new("threads must be at least 1").at(place("threads")));
                1
            }
            Some(threads) => threads.min(256),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        // A component with a mistake has no outputs to wire to; its mistake alone is worth telling.
        let graph = if problems.is_empty() {
            Graph::wire(&givers, sources.len(), &takers, &mut problems)
        } else {
            wire_what_is_there(root, &takers, &mut problems);
            Graph::default()
        };
        let Some(settings) = settings else { return Err(problems) };
        let mut plan = problems.into_result(Plan { settings, threads, sources, transforms, sinks, graph, warnings })?;
        plan.warn_of_doubles(root);
        plan.warn_of_circles(root);
        Ok(plan)
    }

    /// Warns of sources that may give a record twice, and have no `dedupe` behind them, or one that forgets too soon.
    fn warn_of_doubles(&mut self, root: &Node) {
        let remembers = |index: usize| self.transforms[index].remembers.map(HumanDuration);
        let dedupes = |index: usize| remembers(index).is_some();
        let suffices = |index: usize| remembers(index) >= Some(MEMORY);
        for (source, readers) in self.sources.iter().zip(&self.graph.sources) {
            let id = &source.id;
            let Some(key) = source.repeats else { continue };
            let bare = self.graph.way_to_sink(readers, &dedupes);
            let Some((way, sink)) = bare.or_else(|| self.graph.way_to_sink(readers, &suffices)) else { continue };
            let sink = &self.sinks[sink].id;
            let best = way.into_iter().filter_map(|index| Some((remembers(index)?, index))).max();
            let (section, component, at, message, help) = match best {
                None => {
                    let message = format!(
                        "`{key}` brings records that may have arrived before, and no `dedupe` stands between {id} and \
                         {sink}: they will be there twice"
                    );
                    let help = format!("put `flatten` and `dedupe` with `horizon: {MEMORY}` behind {id}");
                    ("sources", id, key, message, help)
                }
                Some((horizon, index)) => {
                    let dedupe = &self.transforms[index].id;
                    let message = format!(
                        "`{key}` of {id} brings records that may have arrived weeks before, and {dedupe} forgets them \
                         after {horizon}: they will be in {sink} twice"
                    );
                    ("transforms", dedupe, "horizon", message, format!("write `horizon: {MEMORY}` into {dedupe}"))
                }
            };
            let Some(node) = root.get(section).and_then(|section| section.get(component)) else { continue };
            self.warnings.push(node.problem(&format!("{section}.{component}"), at, &message, Some(&help)));
        }
    }
}

/// With mistakes elsewhere in the config, at least inputs that name no component at all are told.
fn wire_what_is_there(root: &Node, takers: &[Taker], problems: &mut Diagnostics) {
    let mut known = Vec::new();
    for section in ["sources", "transforms"] {
        known.extend(root.get(section).map_or(&[][..], Node::entries).iter().map(|entry| entry.key.as_str()));
    }
    // What cannot be an id is told already, and is nothing to read from.
    let good: Vec<&str> = known.iter().copied().filter(|id| is_id(id)).collect();
    for taker in takers {
        for input in &taker.inputs {
            if !known.contains(&giver_of(&input.name)) {
                let help = crate::config::help_for_unknown(giver_of(&input.shown), "inputs", &good);
                let message = format!("no component gives `{}`, an input of {}", input.shown, taker.path);
                problems.push(Diagnostic::new(message).at(input.span).help(help));
            }
        }
    }
}

/// The component that an input names: what stands before the name of an output.
fn giver_of(input: &str) -> &str {
    input.split_once('.').map_or(input, |(id, _)| id)
}

fn is_id(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&id.len()) && id.chars().all(fits)
}

struct Reader<'p, 'n> {
    problems: &'p mut Diagnostics,
    warnings: &'p mut Diagnostics,
    /// Components of which a part stands in a file that cannot be read, by path. That is told already.
    unread: Vec<String>,
    givers: Vec<Giver>,
    takers: Vec<Taker>,
    ids: HashMap<String, Span>,
    claims: Claims<'n>,
}

impl<'n> Reader<'_, 'n> {
    /// Reads one of the three sections. `consumer` makes the consumer of an index, for sections that have inputs.
    fn section<Stage>(
        &mut self,
        root: &'n Node,
        section: &'n str,
        kind: &'static str,
        list: &'static [ComponentType<Stage>],
        consumer: Option<fn(usize) -> Consumer>,
    ) -> Vec<Planned<Stage>> {
        let mut planned = Vec::new();
        let Some(node) = root.get(section) else { return planned };
        if node.entries().is_empty() && !node.is_null() {
            let help = format!(
                "write it as a mapping from ids to components, such as `{section}: {{ my_{kind}: {{ type: ... }} }}`"
            );
            self.problems.push(Diagnostic::new(format!("`{section}` holds no components")).at(node.span).help(help));
        }
        for entry in node.entries() {
            let id = if is_id(&entry.key) { entry.key.clone() } else { quote(&entry.key) };
            let path = format!("{section}.{id}");
            self.check_id(&entry.key, entry.key_span);
            if let Some(consumer) = consumer {
                let inputs = self.inputs(&entry.value, entry.key_span, &path);
                self.takers.push(Taker { consumer: consumer(planned.len()), path: path.clone(), inputs });
            } else if let Some(inputs) = entry.value.entry("inputs") {
                let message = format!("a source has no inputs, but {path} names some");
                self.problems.push(Diagnostic::new(message).at(inputs.key_span));
            }
            if self.unread.contains(&format!("{section}.{}", entry.key)) {
                continue;
            }
            let component = components::find(list, kind, &entry.value, &path)
                .map_err(|problem| vec![problem])
                .and_then(|found| Ok((found.name, (found.plan)(&entry.value, &path)?)));
            match component {
                Ok((
                    component_type,
                    PlannedComponent {
                        build,
                        outputs,
                        has_main_output,
                        access,
                        repeats,
                        remembers,
                        claim,
                        reads,
                        warnings,
                    },
                )) => {
                    warnings.into_iter().for_each(|warning| self.warnings.push(warning));
                    let clash =
                        claim.clone().and_then(|claim| self.claims.note(claim, section, &entry.key, &entry.value));
                    clash.into_iter().for_each(|problem| self.problems.push(problem));
                    if kind != "sink" {
                        self.givers.push(Giver {
                            id: entry.key.clone(),
                            span: entry.key_span,
                            outputs,
                            has_main_output,
                        });
                    }
                    planned.push(Planned {
                        id: entry.key.clone(),
                        component_type,
                        build,
                        access,
                        repeats,
                        remembers,
                        claim,
                        reads,
                    });
                }
                Err(problems) => problems.into_iter().for_each(|problem| self.problems.push(problem)),
            }
        }
        planned
    }

    fn check_id(&mut self, id: &str, span: Span) {
        if !is_id(id) {
            let help = "ids have 1 to 64 letters, digits, `_` and `-`".to_owned();
            self.problems.push(Diagnostic::new(format!("`{}` cannot be an id", quote(id))).at(span).help(help));
        }
        if let Some(first) = self.ids.insert(id.to_owned(), span) {
            let message = format!("two components are called `{}`", quote(id));
            self.problems.push(Diagnostic::new(message).at(span).also(first, "the other one"));
        }
    }

    fn inputs(&mut self, node: &Node, id_span: Span, path: &str) -> Vec<Input> {
        let Some(inputs) = node.get("inputs") else {
            let help = "add `inputs: [...]` with the ids of the sources or transforms that it reads".to_owned();
            self.problems.push(Diagnostic::new(format!("missing key `inputs` in {path}")).at(id_span).help(help));
            return Vec::new();
        };
        let names = inputs.deserialize_items::<String>(&format!("{path}.inputs"));
        let list = self.problems.collect(names).unwrap_or_default();
        if list.is_empty() && inputs.items().is_empty() && !matches!(inputs.value, crate::config::NodeValue::Scalar(_))
        {
            self.problems.push(Diagnostic::new(format!("{path}.inputs is empty")).at(inputs.span));
        }
        let input =
            |(name, node): (Spanned<String>, &Node)| Input { name: name.value, shown: node.quoted(), span: name.span };
        list.into_iter().zip(inputs.items()).map(input).collect()
    }
}

#[cfg(test)]
mod tests;
