//! `downspout check-access`: whether the sources of a config may read what they should.
//!
//! All components are asked at once; the table is in the order of the config all the same. Rights that an application
//! has and no source of the config uses are told too: what is granted and not needed is what an attacker gains.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

use downspout_core::StageError;
use downspout_core::access::{Checked, Finding, Grant, Standing};
use downspout_runtime::Plan;
use serde_json::json;

use crate::print;

/// What one component's check gave.
struct Section {
    /// `sources.m365 (office365_management)`.
    title: String,
    id: String,
    findings: Vec<Finding>,
}

/// Runs the command.
pub(crate) fn run(plan: Plan, as_json: bool) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (sections, grants) = runtime.block_on(check(plan));
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

async fn check(plan: Plan) -> (Vec<Section>, Vec<Grant>) {
    let (mut running, mut sections, mut grants) = (Vec::new(), Vec::new(), Vec::new());
    for source in plan.sources {
        if let Some(access) = source.access {
            running.push((source.id, source.component_type, tokio::spawn(access.check())));
        }
    }
    for (id, component_type, check) in running {
        let checked =
            check.await.unwrap_or_else(|error| Err(StageError::stop("internal", format!("it died: {error}"))));
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
