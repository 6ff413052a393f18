//! How components hang together: who reads whose output, and the proof that no cycle is among them.

use std::collections::HashMap;

use crate::config::{Diagnostic, Diagnostics, Span, suggest};

/// Who reads an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumer {
    /// The transform of that index.
    Transform(usize),
    /// The sink of that index.
    Sink(usize),
}

/// The consumers of one output, in the order of the config.
pub type Consumers = Vec<Consumer>;

/// The wiring of a pipeline.
#[derive(Debug, Default)]
pub struct Graph {
    /// For each source, who reads it.
    pub sources: Vec<Consumers>,
    /// For each transform, who reads its main output (first) and its named outputs (behind it, in their order).
    pub transforms: Vec<Vec<Consumers>>,
}

/// What the wiring needs to know of a component that gives events.
#[derive(Debug)]
pub(crate) struct Giver {
    pub(crate) id: String,
    pub(crate) span: Span,
    pub(crate) outputs: Vec<String>,
    pub(crate) has_main_output: bool,
}

/// What the wiring needs to know of a component that takes events.
#[derive(Debug)]
pub(crate) struct Taker {
    pub(crate) consumer: Consumer,
    pub(crate) path: String,
    pub(crate) inputs: Vec<Input>,
}

/// A name under `inputs`.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    /// The name as messages show it: what came through `${...}` may be a secret.
    pub(crate) shown: String,
    pub(crate) span: Span,
}

impl Graph {
    /// Wires takers to givers. `givers` are the sources, then the transforms. Everything that is wrong is added to
    /// `problems`.
    pub(crate) fn wire(givers: &[Giver], sources: usize, takers: &[Taker], problems: &mut Diagnostics) -> Graph {
        let mut ports: HashMap<String, (usize, usize)> = HashMap::new();
        for (index, giver) in givers.iter().enumerate() {
            if giver.has_main_output {
                ports.insert(giver.id.clone(), (index, 0));
            }
            for (output, name) in giver.outputs.iter().enumerate() {
                ports.insert(format!("{}.{name}", giver.id), (index, output + 1));
            }
        }
        let mut consumers: Vec<Vec<Consumers>> =
            givers.iter().map(|giver| vec![Vec::new(); giver.outputs.len() + 1]).collect();
        for taker in takers {
            for input in &taker.inputs {
                match ports.get(&input.name) {
                    Some(&(giver, port)) if consumers[giver][port].contains(&taker.consumer) => {
                        let message = format!("`{}` stands twice in {}.inputs", input.shown, taker.path);
                        problems.push(Diagnostic::new(message).at(input.span));
                    }
                    Some(&(giver, port)) => consumers[giver][port].push(taker.consumer),
                    None => problems.push(unknown_input(input, taker, &ports, givers)),
                }
            }
        }
        for (giver, outputs) in givers.iter().zip(&consumers) {
            if outputs.iter().all(Vec::is_empty) {
                let message = format!("nothing reads from `{}`: what it gives would be lost", giver.id);
                let help = format!("add `{}` to the `inputs` of a sink, or take the component out", giver.id);
                problems.push(Diagnostic::new(message).at(giver.span).help(help));
            }
        }
        let transforms = consumers.split_off(sources);
        let sources = consumers.into_iter().map(|mut outputs| outputs.swap_remove(0)).collect();
        let graph = Graph { sources, transforms };
        graph.refuse_cycles(&givers[givers.len() - graph.transforms.len()..], problems);
        graph
    }

    /// The first way from `readers` to a sink without a transform that `stops`: the other transforms on it, the last one
    /// first, and the sink.
    pub(crate) fn way_to_sink(
        &self,
        readers: &[Consumer],
        stops: &dyn Fn(usize) -> bool,
    ) -> Option<(Vec<usize>, usize)> {
        readers.iter().find_map(|reader| match *reader {
            Consumer::Sink(index) => Some((Vec::new(), index)),
            Consumer::Transform(index) if stops(index) => None,
            Consumer::Transform(index) => {
                let (mut way, sink) =
                    self.transforms[index].iter().find_map(|readers| self.way_to_sink(readers, stops))?;
                way.push(index);
                Some((way, sink))
            }
        })
    }

    /// Whether a way leads from `readers` to the sink of that index.
    pub(crate) fn leads_to_sink(&self, readers: &[Consumer], sink: usize) -> bool {
        let mut seen = vec![false; self.transforms.len()];
        let mut ahead = readers.to_vec();
        while let Some(next) = ahead.pop() {
            match next {
                Consumer::Sink(index) if index == sink => return true,
                Consumer::Transform(index) if !std::mem::replace(&mut seen[index], true) => {
                    ahead.extend(self.transforms[index].iter().flatten());
                }
                _ => {}
            }
        }
        false
    }

    /// Follows every path; a transform that leads back to itself would go round for ever.
    fn refuse_cycles(&self, transforms: &[Giver], problems: &mut Diagnostics) {
        let mut finished = vec![false; self.transforms.len()];
        for start in 0..self.transforms.len() {
            let mut path = Vec::new();
            if let Some(cycle) = self.find_cycle(start, &mut path, &mut finished) {
                let names: Vec<&str> = cycle.iter().map(|&index| transforms[index].id.as_str()).collect();
                let message = format!("the transforms read from each other in a cycle: {}", names.join(" -> "));
                let help = "take one of these inputs out".to_owned();
                problems.push(Diagnostic::new(message).at(transforms[cycle[0]].span).help(help));
                return;
            }
        }
    }

    fn find_cycle(&self, at: usize, path: &mut Vec<usize>, finished: &mut [bool]) -> Option<Vec<usize>> {
        if let Some(start) = path.iter().position(|&seen| seen == at) {
            let mut cycle = path[start..].to_vec();
            cycle.push(at);
            return Some(cycle);
        }
        if finished[at] {
            return None;
        }
        path.push(at);
        for consumer in self.transforms[at].iter().flatten() {
            if let Consumer::Transform(next) = consumer
                && let Some(cycle) = self.find_cycle(*next, path, finished)
            {
                return Some(cycle);
            }
        }
        path.pop();
        finished[at] = true;
        None
    }
}

fn unknown_input(
    input: &Input,
    taker: &Taker,
    ports: &HashMap<String, (usize, usize)>,
    givers: &[Giver],
) -> Diagnostic {
    let problem =
        Diagnostic::new(format!("no component gives `{}`, an input of {}", input.shown, taker.path)).at(input.span);
    if let Some(giver) = givers.iter().find(|giver| giver.id == input.name) {
        let name = &input.shown;
        let outputs: Vec<String> = giver.outputs.iter().map(|output| format!("`{name}.{output}`")).collect();
        return problem.help(format!("`{name}` gives only named outputs: {}", outputs.join(", ")));
    }
    let mut known: Vec<&str> = ports.keys().map(String::as_str).collect();
    known.sort_unstable();
    // A suggestion would tell something about a hidden name.
    problem.help(match suggest(&input.shown, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("inputs are ids of sources and transforms; there are: {}", known.join(", ")),
    })
}
