//! Reads a pack of operations.

use std::collections::HashMap;
use std::sync::Arc;

use super::expand::{Words, expand};
use super::{By, Cast, Catalog, Operation, View};
use crate::world::feed::Feed;
use crate::world::template::{Piece, Template};

/// A view as written.
#[derive(Debug, Default, Clone)]
struct Draft {
    head: String,
    body: String,
}

/// What is being read.
#[derive(Debug, Default)]
struct Reading {
    lets: HashMap<String, String>,
    family: String,
    defaults: HashMap<String, String>,
    views: Vec<Draft>,
    /// Weight, who, name.
    operation: Option<(u32, By, String)>,
    slots: HashMap<String, String>,
}

/// Adds the operations of a pack to the catalogue.
///
/// # Errors
/// The line and what is wrong with it.
pub(super) fn read(text: &str, catalog: &mut Catalog) -> Result<(), String> {
    let mut reading = Reading::default();
    for (index, line) in text.lines().enumerate() {
        reading.line(line, catalog).map_err(|error| format!("line {}: {error}", index + 1))?;
    }
    reading.close(catalog)
}

impl Reading {
    fn line(&mut self, line: &str, catalog: &mut Catalog) -> Result<(), String> {
        let words = line.trim();
        if words.is_empty() || words.starts_with('#') {
            return Ok(());
        }
        if line.starts_with(' ') {
            return self.inner(words);
        }
        let (word, rest) = words.split_once(' ').ok_or_else(|| format!("`{words}` says nothing"))?;
        match word {
            "let" => {
                let (name, value) = rest.split_once(" = ").ok_or("expected `let NAME = TEXT`")?;
                self.lets.insert(name.to_owned(), value.to_owned());
            }
            "family" => {
                self.close(catalog)?;
                self.family = rest.to_owned();
                self.views.clear();
                self.defaults.clear();
            }
            "view" => {
                self.close(catalog)?;
                self.views.push(Draft { head: rest.to_owned(), body: String::new() });
            }
            "op" => {
                self.close(catalog)?;
                let mut parts = rest.splitn(3, ' ');
                let mut part = || parts.next().ok_or("expected `op WEIGHT BY NAME`");
                let weight = part()?.parse().map_err(|_| "expected a number for the weight")?;
                let by = By::from_name(part()?).ok_or("nobody of that name does things")?;
                self.operation = Some((weight, by, part()?.to_owned()));
            }
            _ => return Err(format!("`{word}` is no directive")),
        }
        Ok(())
    }

    /// A line under a directive.
    fn inner(&mut self, words: &str) -> Result<(), String> {
        let in_view = self.operation.is_none() && !self.views.is_empty();
        if in_view {
            let view = self.views.last_mut().ok_or("no view")?;
            view.body.push_str(words);
            return Ok(());
        }
        let (name, value) = words.split_once(" =").ok_or("expected `SLOT = TEXT`")?;
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        let slots = if self.operation.is_some() { &mut self.slots } else { &mut self.defaults };
        slots.insert(name.to_owned(), value);
        Ok(())
    }

    /// Ends the operation that is being read.
    fn close(&mut self, catalog: &mut Catalog) -> Result<(), String> {
        let Some((weight, by, plain)) = self.operation.take() else { return Ok(()) };
        let mut slots = self.defaults.clone();
        slots.extend(self.slots.drain());
        let name = slots.get("name").map_or(plain.clone(), |quoted| quoted.trim_matches('"').to_owned());
        let label = format!("{}/{}", self.family, slots.get("label").unwrap_or(&plain));
        if let Some(taken) = ["activity", "operation"].iter().find(|slot| slots.contains_key(**slot)) {
            return Err(format!("operation `{label}`: the slot `{taken}` is filled by the name"));
        }
        // Graph writes the same activities without the full stop at the end.
        slots.insert("activity".to_owned(), name.trim().trim_end_matches('.').to_owned());
        slots.insert("operation".to_owned(), name);
        let words = Words { lets: self.lets.clone(), slots };
        let views = self.views.iter().map(|draft| view(draft, &words)).collect::<Result<Vec<_>, _>>();
        let views = views.map_err(|error| format!("operation `{label}`: {error}"))?;
        let cast = words.slots.get("cast").map_or(Some(Cast::Any), |cast| Cast::from_name(cast));
        let cast = cast.ok_or_else(|| format!("operation `{label}`: no cast of that name"))?;
        let operation = Operation { weight, by, cast, views };
        if catalog.by_label.insert(label.clone(), catalog.operations.len()).is_some() {
            return Err(format!("there are two operations `{label}`"));
        }
        catalog.operations.push(Arc::new(operation));
        Ok(())
    }
}

fn view(draft: &Draft, words: &Words) -> Result<View, String> {
    let template = |text: &str| Template::new(&expand(text, words, 0)?);
    let mut parts = draft.head.split(' ');
    let feed = parts.next().unwrap_or_default();
    let body = template(&draft.body)?;
    let mut view = View {
        feed: feed_of(feed).ok_or_else(|| format!("`{feed}` is no feed"))?,
        share: 100,
        after: (0, 0),
        each: false,
        id: Template::new("${uuid}")?,
        key: None,
        size: size(&body.0),
        body,
    };
    for option in parts {
        match option.split_once('=') {
            Some(("share", percent)) => view.share = percent.parse().map_err(|_| "`share` is no number")?,
            Some(("after", range)) => {
                let (low, high) = range.split_once("..").ok_or("`after` is no range")?;
                let number = |text: &str| text.parse().map_err(|_| "`after` is no range of numbers");
                view.after = (number(low)?, number(high)?);
            }
            Some(("id", text)) => view.id = template(&text.replace('~', " "))?,
            Some(("key", text)) => view.key = Some(template(&text.replace('~', " "))?),
            None if option == "each" => view.each = true,
            _ => return Err(format!("`{option}` is no option of a view")),
        }
    }
    Ok(view)
}

/// About how long the text of a template is.
fn size(pieces: &[Piece]) -> usize {
    let of = |piece: &Piece| match piece {
        Piece::Text(text) => text.len(),
        Piece::Value(_) => 28,
        Piece::Repeat { high, body, .. } => *high as usize * size(body),
        Piece::Maybe { body, .. } | Piece::Or { body, .. } => size(body),
    };
    pieces.iter().map(of).sum()
}

fn feed_of(name: &str) -> Option<Feed> {
    Some(match name {
        "AzureActiveDirectory" => Feed::AzureActiveDirectory,
        "Exchange" => Feed::Exchange,
        "SharePoint" => Feed::SharePoint,
        "General" => Feed::General,
        "Dlp" => Feed::Dlp,
        "SignInInteractive" => Feed::SignInInteractive,
        "SignInNonInteractive" => Feed::SignInNonInteractive,
        "SignInServicePrincipal" => Feed::SignInServicePrincipal,
        "SignInManagedIdentity" => Feed::SignInManagedIdentity,
        "DirectoryAudit" => Feed::DirectoryAudit,
        "Provisioning" => Feed::Provisioning,
        "RiskDetection" => Feed::RiskDetection,
        "MessageTrace" => Feed::MessageTrace,
        "MailboxAudit" => Feed::MailboxAudit,
        "AzureActivity" => Feed::AzureActivity { subscription: String::new() },
        "AzureDevOps" => Feed::AzureDevOps { organization: String::new() },
        _ => return None,
    })
}
