//! The services and clouds that there are, and where each is.

/// A service with hosts of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Entra's token endpoints.
    Login,
    /// The Office 365 Management Activity API.
    Management,
    /// Microsoft Graph.
    Graph,
    /// Exchange Online's administration over REST.
    Exchange,
    /// The Reporting Web Service.
    Reporting,
    /// Azure Resource Manager.
    ResourceManager,
    /// Azure DevOps' audit log.
    DevOpsAudit,
    /// Azure DevOps' profiles and accounts: which organisations there are.
    DevOpsAccounts,
    /// Azure DevOps' catalogue of a tenant's organisations.
    DevOpsCatalog,
    /// The metadata service of a virtual machine: managed identities.
    Imds,
}

impl Service {
    /// All services.
    pub const ALL: [Service; 10] = [
        Service::Login,
        Service::Management,
        Service::Graph,
        Service::Exchange,
        Service::Reporting,
        Service::ResourceManager,
        Service::DevOpsAudit,
        Service::DevOpsAccounts,
        Service::DevOpsCatalog,
        Service::Imds,
    ];

    /// The key of a config, and what messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Service::Login => "login",
            Service::Management => "management",
            Service::Graph => "graph",
            Service::Exchange => "exchange",
            Service::Reporting => "reporting",
            Service::ResourceManager => "resource_manager",
            Service::DevOpsAudit => "devops_audit",
            Service::DevOpsAccounts => "devops_accounts",
            Service::DevOpsCatalog => "devops_catalog",
            Service::Imds => "imds",
        }
    }

    /// Its real base URL in a cloud. `None`: it is not there, as far as Microsoft says.
    pub(super) fn host(self, name: CloudName) -> Option<&'static str> {
        use CloudName::{China, Dod, Gcc, GccHigh, Worldwide};
        let url = match (self, name) {
            (Service::Login, Worldwide | Gcc) => "https://login.microsoftonline.com",
            (Service::Login, GccHigh | Dod) => "https://login.microsoftonline.us",
            (Service::Login, China) => "https://login.partner.microsoftonline.cn",
            (Service::Management, Worldwide) => "https://manage.office.com",
            (Service::Management, Gcc) => "https://manage-gcc.office.com",
            (Service::Management, GccHigh) => "https://manage.office365.us",
            (Service::Management, Dod) => "https://manage.protection.apps.mil",
            (Service::Graph, Worldwide | Gcc) => "https://graph.microsoft.com",
            (Service::Graph, GccHigh) => "https://graph.microsoft.us",
            (Service::Graph, Dod) => "https://dod-graph.microsoft.us",
            (Service::Graph, China) => "https://microsoftgraph.chinacloudapi.cn",
            (Service::Exchange, Worldwide | Gcc) => "https://outlook.office365.com",
            (Service::Exchange, GccHigh) => "https://outlook.office365.us",
            (Service::Exchange, Dod) => "https://outlook-dod.office365.us",
            (Service::Exchange, China) => "https://outlook.office365.cn",
            (Service::Reporting, Worldwide | Gcc) => "https://reports.office365.com",
            (Service::Reporting, GccHigh) => "https://reports.office365.us",
            (Service::ResourceManager, Worldwide | Gcc) => "https://management.azure.com",
            (Service::ResourceManager, GccHigh | Dod) => "https://management.usgovcloudapi.net",
            (Service::ResourceManager, China) => "https://management.chinacloudapi.cn",
            (Service::DevOpsAudit, Worldwide | Gcc) => "https://auditservice.dev.azure.com",
            (Service::DevOpsAccounts, Worldwide | Gcc) => "https://app.vssps.visualstudio.com",
            (Service::DevOpsCatalog, Worldwide | Gcc) => "https://aexprodweu1.vsaex.visualstudio.com",
            (Service::Imds, _) => "http://169.254.169.254",
            (Service::Management, China)
            | (Service::Reporting, Dod | China)
            | (Service::DevOpsAudit | Service::DevOpsAccounts | Service::DevOpsCatalog, GccHigh | Dod | China) => {
                return None;
            }
        };
        Some(url)
    }
}

/// One of Microsoft's clouds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CloudName {
    /// The commercial cloud.
    #[default]
    Worldwide,
    /// US government, community cloud.
    Gcc,
    /// US government, high.
    GccHigh,
    /// US Department of Defense.
    Dod,
    /// China, operated by 21Vianet.
    China,
}

impl CloudName {
    pub(super) const ALL: [(&'static str, CloudName); 5] = [
        ("worldwide", CloudName::Worldwide),
        ("gcc", CloudName::Gcc),
        ("gcc_high", CloudName::GccHigh),
        ("dod", CloudName::Dod),
        ("china", CloudName::China),
    ];

    /// Its name in a config.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, name)| *name == self).map_or("", |(text, _)| text)
    }
}
