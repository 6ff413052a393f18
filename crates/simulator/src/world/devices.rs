//! The machines that people work at.

use super::rng::{Rng, mix, uuid_of};

/// A computer or a telephone.
#[derive(Debug, Clone)]
pub(super) struct Device {
    /// The device id, as it stands in sign-ins.
    pub(super) id: String,
    /// The object id in the directory.
    pub(super) object: String,
    pub(super) name: String,
    /// The operating system as sign-ins write it, such as `Windows 11`.
    pub(super) os: &'static str,
    pub(super) os_version: &'static str,
    /// The browser as Graph writes it, such as `Edge 131.0.0`.
    pub(super) browser: &'static str,
    /// The browser's family as the unified audit log writes it, such as `Edge`.
    pub(super) family: &'static str,
    pub(super) agent: &'static str,
    /// `Azure AD joined`, `Hybrid Azure AD joined`, `Azure AD registered`.
    pub(super) trust: &'static str,
    pub(super) managed: bool,
}

struct Model {
    prefix: &'static str,
    os: &'static str,
    os_version: &'static str,
    browser: &'static str,
    family: &'static str,
    agent: &'static str,
    trust: &'static str,
    managed: bool,
}

const COMPUTERS: &[Model] = &[
    Model {
        prefix: "WS",
        os: "Windows 11",
        os_version: "10.0.26100.2605",
        browser: "Edge 131.0.0",
        family: "Edge",
        agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
        trust: "Azure AD joined",
        managed: true,
    },
    Model {
        prefix: "NB",
        os: "Windows 10",
        os_version: "10.0.19045.5247",
        browser: "Chrome 131.0.0",
        family: "Chrome",
        agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        trust: "Hybrid Azure AD joined",
        managed: true,
    },
    Model {
        prefix: "MAC",
        os: "MacOs",
        os_version: "15.1.1",
        browser: "Safari 18.1",
        family: "Safari",
        agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
        trust: "Azure AD registered",
        managed: true,
    },
    Model {
        prefix: "LX",
        os: "Linux",
        os_version: "24.04",
        browser: "Firefox 133.0",
        family: "Firefox",
        agent: "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
        trust: "Azure AD registered",
        managed: false,
    },
];

const PHONES: &[Model] = &[
    Model {
        prefix: "iPhone-",
        os: "Ios",
        os_version: "18.1.1",
        browser: "Mobile Safari 18.1",
        family: "Safari",
        agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
        trust: "Azure AD registered",
        managed: true,
    },
    Model {
        prefix: "Android-",
        os: "Android",
        os_version: "15",
        browser: "Chrome Mobile 131.0.0",
        family: "Chrome",
        agent: "Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
        trust: "Azure AD registered",
        managed: false,
    },
];

/// What attackers use, who are not registered anywhere.
const STRANGE: &[Model] = &[
    Model {
        prefix: "",
        os: "Windows 10",
        os_version: "",
        browser: "Firefox 115.0",
        family: "Firefox",
        agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:115.0) Gecko/20100101 Firefox/115.0",
        trust: "",
        managed: false,
    },
    Model {
        prefix: "",
        os: "",
        os_version: "",
        browser: "Python Requests 2.32",
        family: "Other",
        agent: "python-requests/2.32.3",
        trust: "",
        managed: false,
    },
    Model {
        prefix: "",
        os: "Linux",
        os_version: "",
        browser: "Chrome 109.0.0",
        family: "Chrome",
        agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.0.0 Safari/537.36",
        trust: "",
        managed: false,
    },
];

impl Device {
    fn new(model: &Model, seed: u64) -> Device {
        let registered = !model.trust.is_empty();
        Device {
            id: if registered { uuid_of(mix(seed, 1)) } else { String::new() },
            object: if registered { uuid_of(mix(seed, 2)) } else { String::new() },
            name: if registered { format!("{}{:05}", model.prefix, mix(seed, 3) % 100_000) } else { String::new() },
            os: model.os,
            os_version: model.os_version,
            browser: model.browser,
            family: model.family,
            agent: model.agent,
            trust: model.trust,
            managed: model.managed,
        }
    }

    pub(super) fn computer(rng: &mut Rng) -> Device {
        // Two of three work with the first models.
        let model = rng.below(3) * rng.below(COMPUTERS.len()) / 2 % COMPUTERS.len();
        Device::new(&COMPUTERS[model], rng.next())
    }

    pub(super) fn phone(rng: &mut Rng) -> Device {
        Device::new(rng.pick(PHONES), rng.next())
    }

    pub(super) fn strange(rng: &mut Rng) -> Device {
        Device::new(rng.pick(STRANGE), rng.next())
    }
}
