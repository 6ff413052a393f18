//! A scene: who does what with what, when and from where. Templates are filled from it.

use std::borrow::Cow;

use super::applications::Application;
use super::devices::Device;
use super::places::Place;
use super::rng::{Rng, mix, scale};
use super::template::Piece;
use super::tenant::{Group, Organization, Outsider, Site, Subscription, Tenant, User};
use super::value::Value;

/// Everything that the records of one operation can speak of.
#[derive(Debug, Clone)]
pub(super) struct Scene<'w> {
    pub(super) tenant: &'w Tenant,
    /// When, in milliseconds since 1970.
    pub(super) at: i64,
    /// What the values with a letter follow from.
    pub(super) seed: u64,
    pub(super) actor: &'w User,
    pub(super) target: &'w User,
    pub(super) place: &'w Place,
    pub(super) device: &'w Device,
    /// The client or the application that acts, or that something is done to.
    pub(super) app: &'w Application,
    pub(super) resource: &'w Application,
    pub(super) site: &'w Site,
    /// Which file of the site.
    pub(super) file: u64,
    pub(super) group: &'w Group,
    pub(super) outsider: &'w Outsider,
    pub(super) subscription: &'w Subscription,
    pub(super) organization: &'w Organization,
    /// The sign-in session that it belongs to.
    pub(super) session: u64,
    /// The addresses that a mail goes to.
    pub(super) recipients: Vec<&'w str>,
    /// Values that take the place of `${or NAME}` blocks. They stand in JSON as they are.
    pub(super) arguments: Vec<(&'static str, Cow<'w, str>)>,
    /// The id of the record that is being written.
    pub(super) id: String,
    /// Which of the recipients it is written for.
    pub(super) recipient: usize,
}

impl<'w> Scene<'w> {
    /// The number of a letter: the same in all records of the scene.
    pub(super) fn letter(&self, letter: u8) -> u64 {
        mix(self.seed, u64::from(letter))
    }

    /// The recipient that the record is written for.
    pub(super) fn recipient(&self) -> &'w str {
        self.recipients.get(self.recipient).copied().unwrap_or_default()
    }

    /// Adds an argument.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Cow<'w, str>>) -> Self {
        self.arguments.push((name, value.into()));
        self
    }

    /// Appends what the template says.
    pub(super) fn write(&self, pieces: &[Piece], rng: &mut Rng, out: &mut String) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value(value) => self.value(value, rng, out),
                Piece::Repeat { low, high, body } => {
                    for turn in 0..rng.range(*low, *high) {
                        if turn > 0 {
                            out.push(',');
                        }
                        self.write(body, rng, out);
                    }
                }
                Piece::Maybe { percent, body } => {
                    if rng.chance(*percent) {
                        self.write(body, rng, out);
                    }
                }
                Piece::Or { name, body } => match self.arguments.iter().find(|(given, _)| given == name) {
                    Some((_, value)) => out.push_str(value),
                    None => self.write(body, rng, out),
                },
            }
        }
    }

    fn value(&self, value: &Value, rng: &mut Rng, out: &mut String) {
        use super::rng::{push_base64, push_hex, push_number, push_uuid};
        let number = |letter: &Option<u8>, rng: &mut Rng| letter.map_or_else(|| rng.next(), |it| self.letter(it));
        match value {
            Value::Text(text) => out.push_str(text(self)),
            Value::Actor(text) => out.push_str(text(self.actor)),
            Value::Target(text) => out.push_str(text(self.target)),
            Value::Made(make) => make(self, rng, out),
            Value::Uuid(letter) => {
                let number = number(letter, rng);
                push_uuid(out, number, mix(number, 9));
            }
            Value::Int { letter, low, high } => {
                let number = number(letter, rng);
                push_number(out, low + scale(number, high.saturating_sub(*low) as u64 + 1) as i64);
            }
            Value::Hex { letter, digits } => push_hex(out, &mut Rng::new(number(letter, rng)), *digits),
            Value::Base64 { letter, length } => push_base64(out, &mut Rng::new(number(letter, rng)), *length),
            Value::Pick { letter, options } => {
                let place = scale(number(letter, rng), options.len() as u64) as usize;
                out.push_str(&options[place]);
            }
            Value::Time { form, shift } => {
                super::calendar::push_time(out, self.at + shift, *form);
            }
        }
    }
}
