//! The regional hosts of Exchange Online. Its administration redirects a tenant's requests to the machines that hold the
//! tenant, and a token may follow only to these.

use url::{Host, Url};

use super::{Cloud, CloudName, Foreign, Service};

/// The port that redirects name; from outside the same service is at 443.
const INSIDE_PORT: u16 = 446;

impl CloudName {
    /// The domains that only Exchange Online's own machines have names in.
    fn exchange_domains(self) -> &'static [&'static str] {
        match self {
            CloudName::Worldwide | CloudName::Gcc => &["office365.com", "prod.outlook.com"],
            CloudName::GccHigh | CloudName::Dod => &["office365.us"],
            CloudName::China => &["office365.cn", "prod.partner.outlook.cn"],
        }
    }

    fn is_exchange(self, host: &str) -> bool {
        self.exchange_domains()
            .iter()
            .any(|domain| host.strip_suffix(domain).is_some_and(|front| front.is_empty() || front.ends_with('.')))
    }
}

impl Cloud {
    /// The base URL of the host that Exchange names in a URL, if tokens for the configured host may go there too: over
    /// https, to a host in the domains of the configured cloud's Exchange. If the config gives Exchange an address
    /// outside of these, there are no regional hosts. Those of a simulated cloud are folders, as all its hosts.
    ///
    /// # Errors
    /// [`Foreign`], with the reason.
    pub fn regional(&self, url: &Url) -> Result<Url, Foreign> {
        let base = self.base(Service::Exchange)?;
        if let Ok(_configured) = self.accept(Service::Exchange, url.as_str()) {
            return Ok(base.clone());
        }
        let simulator = self.simulator.as_ref().filter(|simulator| base.as_str().starts_with(simulator.as_str()));
        let host = |url: &Url| match (simulator, url.host()) {
            (Some(simulator), _) => {
                let below = url.as_str().strip_prefix(simulator.as_str())?;
                below.split_once('/').map(|(host, _)| host.to_owned())
            }
            (None, Some(Host::Domain(host))) if url.scheme() == "https" => Some(host.to_owned()),
            _ => None,
        };
        let wrong = |what: &str| Err(Foreign(format!("{} is {what}, and tokens go nowhere else", shown(url))));
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("a URL with a user name in it");
        }
        if simulator.is_none() && url.port().is_some_and(|port| port != INSIDE_PORT) {
            return wrong("not at the port of https");
        }
        let known = |host: &String| self.name.is_exchange(host);
        let Some(region) = host(url).filter(known).filter(|_| host(base).as_ref().is_some_and(known)) else {
            return wrong("no https address of a host of this cloud's Exchange");
        };
        let root = simulator.map_or_else(|| "https://".to_owned(), Url::to_string);
        Url::parse(&format!("{root}{region}/")).map_err(|error| Foreign(format!("no URL ({error})")))
    }

    /// A URL of Exchange's, at the configured host or a regional one, as it is at the host of `base`.
    ///
    /// # Errors
    /// As [`Cloud::regional`].
    pub fn moved(&self, url: &Url, base: &Url) -> Result<Url, Foreign> {
        let from = self.regional(url)?;
        let mut plain = url.clone();
        if plain.port() == Some(INSIDE_PORT) {
            // Fails for URLs without a host only.
            let _ = plain.set_port(None);
        }
        let below = plain.as_str().strip_prefix(from.as_str()).unwrap_or_default();
        Url::parse(&format!("{base}{below}")).map_err(|error| Foreign(format!("no URL ({error})")))
    }
}

/// Without the query, which may hold secrets.
fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), super::shorten(url.path()))
}

#[cfg(test)]
mod tests {
    use super::super::CloudConfig;
    use super::*;

    fn cloud(json: serde_json::Value) -> Cloud {
        serde_json::from_value::<CloudConfig>(json).unwrap().plan().unwrap()
    }

    fn regional(cloud: &Cloud, url: &str) -> Option<String> {
        cloud.regional(&Url::parse(url).unwrap()).ok().map(String::from)
    }

    #[test]
    fn tokens_follow_to_exchange_and_nowhere_else() {
        let worldwide = cloud("worldwide".into());
        let good = [
            (
                "https://db9pr05mb1.eurprd05.prod.outlook.com:446/adminapi/x?y",
                "https://db9pr05mb1.eurprd05.prod.outlook.com/",
            ),
            ("https://EUR.outlook.office365.com/adminapi", "https://eur.outlook.office365.com/"),
            ("https://outlook.office365.com/adminapi", "https://outlook.office365.com/"),
        ];
        for (url, base) in good {
            assert_eq!(regional(&worldwide, url).as_deref(), Some(base));
        }
        let bad = [
            "http://eurprd05.prod.outlook.com/adminapi",
            "https://eurprd05.prod.outlook.com:8443/adminapi",
            "https://user@eurprd05.prod.outlook.com/adminapi",
            "https://eurprd05.prod.outlook.com@evil.example/adminapi",
            "https://eurprd05.prod.outlook.com.evil.example/adminapi",
            "https://eurprd05.prod.outlook.com./adminapi",
            "https://evilprod.outlook.com/adminapi",
            "https://evil-office365.com/adminapi",
            "https://office365.com.evil.example/adminapi",
            "https://evil.example/outlook.office365.com/",
            "https://outlook.office365.us/adminapi",
            "https://graph.microsoft.com/adminapi",
            "https://127.0.0.1/adminapi",
            "https://[::1]/adminapi",
            "file:///outlook.office365.com/adminapi",
        ];
        for url in bad {
            assert_eq!(regional(&worldwide, url), None, "{url}");
        }
        let told = worldwide.regional(&Url::parse("https://evil.example/x?token=hunter2").unwrap()).unwrap_err();
        assert!(told.0.contains("evil.example/x") && !told.0.contains("hunter2"), "{told}");
    }

    #[test]
    fn each_cloud_has_its_own_and_an_address_of_ones_own_has_none() {
        let url = "https://shxpr01.chnpr01.prod.partner.outlook.cn/adminapi";
        assert!(regional(&cloud("china".into()), url).is_some());
        assert_eq!(regional(&cloud("gcc_high".into()), url), None);
        let own = cloud(serde_json::json!({ "exchange": "https://exchange.example" }));
        assert_eq!(regional(&own, "https://eurprd05.prod.outlook.com/adminapi"), None);
        assert_eq!(regional(&own, "https://exchange.example/adminapi").as_deref(), Some("https://exchange.example/"));
        let simulated = cloud(serde_json::json!({ "simulator": "http://127.0.0.1:8600/sim" }));
        assert_eq!(
            regional(&simulated, "http://127.0.0.1:8600/sim/eur.prod.outlook.com/adminapi").as_deref(),
            Some("http://127.0.0.1:8600/sim/eur.prod.outlook.com/")
        );
        for url in [
            "http://127.0.0.1:8600/eur.prod.outlook.com/adminapi",
            "http://127.0.0.1:8601/sim/eur.prod.outlook.com/adminapi",
            "http://127.0.0.1:8600/sim/manage.office.com/adminapi",
            "https://eur.prod.outlook.com/adminapi",
        ] {
            assert_eq!(regional(&simulated, url), None, "{url}");
        }
    }

    #[test]
    fn a_url_moves_with_path_and_query() {
        let cloud = cloud("worldwide".into());
        let moved =
            |url: &str, base: &str| cloud.moved(&url.parse().unwrap(), &base.parse().unwrap()).map(String::from);
        assert_eq!(
            moved(
                "https://eur.prod.outlook.com:446/adminapi/beta/t/InvokeCommand?a=1",
                "https://outlook.office365.com/"
            ),
            Ok("https://outlook.office365.com/adminapi/beta/t/InvokeCommand?a=1".to_owned())
        );
        assert!(moved("https://evil.example/adminapi", "https://outlook.office365.com/").is_err());
    }
}
