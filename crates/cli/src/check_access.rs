//! `downspout check-access`: whether the sources of a config may read what they should.
//!
//! All components are asked at once; the table is in the order of the config all the same. Rights that an application
//! has and no source of the config uses are told too: what is granted and not needed is what an attacker gains.
//!
//! A service that is slow to refuse takes its time, so it is told on stderr whose answers are waited for: on a terminal in
//! a line that changes, else once.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::Duration;

use downspout_core::access::{Checked, Finding, Grant, Standing};
use downspout_core::{Shared, StageError};
use downspout_runtime::Plan;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::task::JoinSet;

use crate::args::{LogFormat, LogLevel};
use crate::logging::{self, Bar};
use crate::print;

/// What one component's check gave.
struct Section {
    /// `sources.m365 (office365_management)`.
    title: String,
    id: String,
    findings: Vec<Finding>,
}

/// Runs the command.
pub(crate) fn run(plan: Plan, as_json: bool, format: LogFormat, level: LogLevel) -> ExitCode {
    let bar = Bar::default();
    // A person who must sign in is told by a log line.
    logging::start(format, level, Bar::clone(&bar));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (sections, grants) = runtime.block_on(check(plan, &bar));
    if sections.is_empty() {
        eprintln!("the config has no source that needs access to anything");
        return ExitCode::SUCCESS;
    }
    let surplus = surplus(&grants);
    let good =
        sections.iter().flat_map(|section| &section.findings).all(|finding| finding.standing <= Standing::Advice);
    let printed = print(&if as_json { to_json(&sections, &surplus, good) } else { to_text(&sections, &surplus) });
    if good { printed } else { ExitCode::FAILURE }
}

async fn check(plan: Plan, bar: &Bar) -> (Vec<Section>, Vec<Grant>) {
    // A person signs in once, and a wrong clock is told once.
    let shared = Shared::default();
    let mut running = JoinSet::new();
    let mut asked = Vec::new();
    for source in plan.sources {
        if let Some(access) = source.access {
            let index = asked.len();
            asked.push((source.id, source.component_type));
            let shared = shared.clone();
            running.spawn(async move { (index, access.check(shared).await) });
        }
    }
    let mut waiting = Waiting::new(asked.iter().map(|(id, _)| id.clone()).collect(), bar);
    let mut answers = BTreeMap::new();
    while let Some(answered) = running.join_next().await {
        // One that died has no answer, which is told below.
        let Ok((index, checked)) = answered else { continue };
        waiting.answered(index);
        answers.insert(index, checked);
    }
    drop(waiting);
    let (mut sections, mut grants) = (Vec::new(), Vec::new());
    for (index, (id, component_type)) in asked.into_iter().enumerate() {
        let checked = answers.remove(&index).unwrap_or_else(|| Err(StageError::stop("internal", "the check died")));
        let Checked { findings, grants: granted } = checked.unwrap_or_else(|error| Checked {
            findings: vec![Finding {
                tenant: String::new(),
                need: "a config that can be used".to_owned(),
                standing: Standing::Missing,
                found: error.to_string(),
                remedy: String::new(),
            }],
            grants: Vec::new(),
        });
        grants.extend(granted);
        sections.push(Section { title: format!("sources.{id} ({component_type})"), id, findings });
    }
    (sections, grants)
}

/// Tells whose answers are waited for.
struct Waiting {
    /// Empty where an answer has come.
    ids: Vec<String>,
    /// On a terminal.
    line: Option<ProgressBar>,
}

impl Waiting {
    fn new(ids: Vec<String>, bar: &Bar) -> Waiting {
        let line = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let line = bar.get_or_init(ProgressBar::new_spinner).clone();
            line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            line.enable_steady_tick(Duration::from_millis(100));
            line
        });
        let waiting = Waiting { ids, line };
        match &waiting.line {
            Some(_) => waiting.show(),
            None if waiting.ids.is_empty() => {}
            None => tracing::info!("{}", waiting.text()),
        }
        waiting
    }

    fn answered(&mut self, index: usize) {
        if let Some(id) = self.ids.get_mut(index) {
            id.clear();
        }
        self.show();
    }

    fn show(&self) {
        if let Some(line) = &self.line {
            line.set_message(self.text());
        }
    }

    fn text(&self) -> String {
        let left: Vec<&str> = self.ids.iter().map(String::as_str).filter(|id| !id.is_empty()).collect();
        format!("asking Microsoft for {}", left.join(", "))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

/// What applications may do beyond what any source of the config uses, by tenant, application and resource.
fn surplus(grants: &[Grant]) -> Vec<Grant> {
    let mut merged: BTreeMap<(&str, &str, &str), Grant> = BTreeMap::new();
    for grant in grants {
        let key = (grant.tenant.as_str(), grant.application.as_str(), grant.resource.as_str());
        let whole = merged.entry(key).or_insert_with(|| Grant { used: Vec::new(), ..grant.clone() });
        whole.used.extend(grant.used.iter().cloned());
    }
    let mut surplus: Vec<Grant> = merged.into_values().collect();
    for grant in &mut surplus {
        grant.granted.retain(|right| !grant.used.contains(right));
    }
    surplus.retain(|grant| !grant.granted.is_empty());
    surplus
}

fn to_json(sections: &[Section], surplus: &[Grant], good: bool) -> String {
    let findings: Vec<_> = sections
        .iter()
        .flat_map(|section| section.findings.iter().map(move |finding| (section, finding)))
        .map(|(section, finding)| {
            json!({
                "component": section.id,
                "tenant": finding.tenant,
                "need": finding.need,
                "standing": finding.standing.as_str(),
                "found": finding.found,
                "remedy": finding.remedy,
            })
        })
        .collect();
    let surplus: Vec<_> = surplus
        .iter()
        .map(|grant| {
            json!({
                "tenant": grant.tenant,
                "application": grant.application,
                "resource": grant.resource,
                "not_needed": grant.granted,
            })
        })
        .collect();
    format!("{}\n", json!({ "good": good, "findings": findings, "surplus": surplus }))
}

fn to_text(sections: &[Section], surplus: &[Grant]) -> String {
    let mut text = String::new();
    // Writing into a text does not fail.
    for section in sections {
        let _ = writeln!(text, "{}", section.title);
        let mut tenant = None;
        let width = section.findings.iter().map(|finding| finding.need.chars().count()).max().unwrap_or(0);
        for finding in &section.findings {
            if tenant != Some(&finding.tenant) && !finding.tenant.is_empty() {
                let _ = writeln!(text, "  tenant {}", finding.tenant);
            }
            tenant = Some(&finding.tenant);
            let pad = " ".repeat(width - finding.need.chars().count());
            let _ = writeln!(text, "    {:<7}  {}{pad}  {}", finding.standing.as_str(), finding.need, finding.found);
            if !finding.remedy.is_empty() {
                let _ = writeln!(text, "             -> {}", finding.remedy);
            }
        }
    }
    for grant in surplus {
        let _ = writeln!(
            text,
            "least privilege: application {} in tenant {} has rights on {} that no source of this config uses: {}",
            grant.application,
            grant.tenant,
            grant.resource,
            grant.granted.join(", ")
        );
    }
    let count = |standing| sections.iter().flat_map(|one| &one.findings).filter(|one| one.standing == standing).count();
    let (missing, unclear) = (count(Standing::Missing), count(Standing::Unclear));
    let _ = match (missing, unclear) {
        (0, 0) => writeln!(text, "all sources may read what they should"),
        (0, _) => writeln!(text, "{unclear} could not be told: try again"),
        _ => writeln!(text, "{missing} missing, {unclear} could not be told"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(granted: &[&str], used: &[&str]) -> Grant {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Grant {
            tenant: "t".to_owned(),
            application: "app".to_owned(),
            resource: "https://graph.example".to_owned(),
            granted: owned(granted),
            used: owned(used),
        }
    }

    #[test]
    fn what_no_source_uses_is_surplus() {
        let found = surplus(&[grant(&["A", "B", "C"], &["A"]), grant(&["A", "B", "C"], &["B"])]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].granted, ["C"]);
        assert_eq!(surplus(&[grant(&["A"], &["A", "A2"])]), []);
    }

    #[test]
    fn only_those_are_named_that_are_waited_for() {
        let mut waiting = Waiting { ids: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], line: None };
        waiting.answered(1);
        assert_eq!(waiting.text(), "asking Microsoft for a, c");
    }

    #[test]
    fn tables_and_json_say_the_same() {
        let finding = |need: &str, standing, remedy: &str| Finding {
            tenant: "contoso".to_owned(),
            need: need.to_owned(),
            standing,
            found: "x".to_owned(),
            remedy: remedy.to_owned(),
        };
        let findings =
            vec![finding("sign-in", Standing::Fine, ""), finding("permission A.Read", Standing::Missing, "grant it")];
        let sections = [Section { title: "sources.in (entra_signins)".to_owned(), id: "in".to_owned(), findings }];
        let text = to_text(&sections, &[grant(&["C"], &[])]);
        let expected = "sources.in (entra_signins)
  tenant contoso
    fine     sign-in            x
    missing  permission A.Read  x
             -> grant it
least privilege: application app in tenant t has rights on https://graph.example that no source of this config uses: C
1 missing, 0 could not be told
";
        assert_eq!(text, expected);
        let json: serde_json::Value = serde_json::from_str(&to_json(&sections, &[], false)).unwrap();
        assert_eq!(json["findings"][1]["standing"], "missing");
        assert_eq!(json["good"], false);
    }
}
