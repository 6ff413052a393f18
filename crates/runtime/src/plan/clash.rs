//! What components of one config do to each other beside the wiring: two that need one thing for themselves, and a source
//! that reads what comes of its own records.

use std::collections::HashMap;

use downspout_core::Claim;

use super::Plan;
use crate::config::{Diagnostic, Node, Span};

/// What is claimed, and by which component: its section, its id, and where it says so.
#[derive(Debug, Default)]
pub(super) struct Claims<'n>(HashMap<Claim, (&'n str, &'n str, Span)>);

impl<'n> Claims<'n> {
    /// Notes the claim of the component `id`, whose node is given. A problem: another component has it already.
    pub(super) fn note(&mut self, claim: Claim, section: &'n str, id: &'n str, node: &Node) -> Option<Diagnostic> {
        let key = match claim {
            Claim::StandardInput => "type",
            Claim::File(_) => "path",
        };
        let Some((section_of_first, first, span)) = self.0.get(&claim) else {
            let span = node.get(key).map_or(node.span, |value| value.span);
            self.0.insert(claim, (section, id, span));
            return None;
        };
        let (message, help) = match claim {
            Claim::StandardInput => (
                format!(
                    "{section_of_first}.{first} reads standard input already: each of two would get pieces of records"
                ),
                format!("take this one out, and write `{first}` into the `inputs` of what reads it"),
            ),
            Claim::File(_) => (
                format!(
                    "{section_of_first}.{first} writes to this file already: two would overwrite each other's lines"
                ),
                format!("choose another `path`, or take this one out and give its `inputs` to {first}"),
            ),
        };
        let problem = node.problem(&format!("{section}.{id}"), key, &message, Some(&help));
        Some(problem.also(*span, "the first one"))
    }
}

impl Plan {
    /// Warns of sources that read a file to which a sink behind them writes.
    pub(super) fn warn_of_circles(&mut self, root: &Node) {
        for (source, readers) in self.sources.iter().zip(&self.graph.sources) {
            let Some(reads) = &source.reads else { continue };
            for (index, sink) in self.sinks.iter().enumerate() {
                let circle = matches!(&sink.claim, Some(Claim::File(path)) if reads(path));
                if !circle || !self.graph.leads_to_sink(readers, index) {
                    continue;
                }
                let (source, sink) = (&source.id, &sink.id);
                let message =
                    format!("{source} reads the file that {sink} writes to: its records come round again and again");
                let help = format!("let {sink} write elsewhere, or name its file in `exclude` of {source}");
                let Some(node) = root.get("sources").and_then(|section| section.get(source)) else { continue };
                self.warnings.push(node.problem(&format!("sources.{source}"), "include", &message, Some(&help)));
            }
        }
    }
}
