//! The applications that the tenant knows: Microsoft's own, and those of its own people.

use super::rng::{Rng, mix, uuid_of};

/// An application and its service principal.
#[derive(Debug, Clone)]
pub(super) struct Application {
    pub(super) id: String,
    pub(super) name: String,
    /// The application's object id; empty for Microsoft's.
    pub(super) object: String,
    /// The service principal's object id.
    pub(super) principal: String,
    /// Application permissions, by their index in [`PERMISSIONS`].
    pub(super) roles: Vec<usize>,
    /// The key of its first credential.
    pub(super) key: String,
}

/// Clients that people sign in with, and the resources (names in [`RESOURCES`]) that they ask for.
pub(super) const CLIENTS: &[(&str, &str, usize)] = &[
    ("4765445b-32c6-49b0-83e6-1d93765276ca", "OfficeHome", 0),
    ("00000002-0000-0ff1-ce00-000000000000", "Office 365 Exchange Online", 1),
    ("00000003-0000-0ff1-ce00-000000000000", "Office 365 SharePoint Online", 2),
    ("1fec8e78-bce4-4aaf-ab1b-5451cc387264", "Microsoft Teams", 0),
    ("5e3ce6c0-2b1f-4285-8d4b-75ee78787346", "Microsoft Teams Web Client", 0),
    ("d3590ed6-52b3-4102-aeff-aad2292ab01c", "Microsoft Office", 1),
    ("27922004-5251-4030-b22d-91ecd9a37ea4", "Outlook Mobile", 1),
    ("ab9b8c07-8f02-4f72-87fa-80105867a763", "OneDrive SyncEngine", 2),
    ("c44b4083-3bb0-49c1-b47d-974e53cbdf3c", "Azure Portal", 3),
    ("04b07795-8ddb-461a-bbee-02f9e1bf7b46", "Microsoft Azure CLI", 3),
    ("fb78d390-0c51-40cd-8e17-fdbfab77341b", "Microsoft Exchange REST API Based Powershell", 1),
    ("14d82eec-204b-4c2f-b7e8-296a70dab67e", "Microsoft Graph Command Line Tools", 0),
];

/// What clients ask for.
pub(super) const RESOURCES: &[(&str, &str)] = &[
    ("00000003-0000-0000-c000-000000000000", "Microsoft Graph"),
    ("00000002-0000-0ff1-ce00-000000000000", "Office 365 Exchange Online"),
    ("00000003-0000-0ff1-ce00-000000000000", "Office 365 SharePoint Online"),
    ("797f4846-ba00-4fd7-ba43-dac1f8f63013", "Windows Azure Service Management API"),
];

/// Application permissions: id, value, index of the resource.
pub(super) const PERMISSIONS: &[(&str, &str, usize)] = &[
    ("df021288-bdef-4463-88db-98f22de89214", "User.Read.All", 0),
    ("7ab1d382-f21e-4acd-a863-ba3e13f7da61", "Directory.Read.All", 0),
    ("b0afded3-3588-46d8-8b3d-9842eff778da", "AuditLog.Read.All", 0),
    ("810c84a8-4a9e-49e6-bf7d-12d183f40d01", "Mail.Read", 0),
    ("e2a3a72e-5f79-4c64-b1b1-878b674786c9", "Mail.ReadWrite", 0),
    ("01d4889c-1287-42c6-ac1f-5d1e02578ef6", "Files.Read.All", 0),
    ("332a536c-c7ef-4017-ab91-336970924f0d", "Sites.Read.All", 0),
    ("dc890d15-9560-4a4c-9b7f-a736ec74ec40", "full_access_as_app", 1),
];

const OWN: &[(&str, &[usize])] = &[
    ("HR Sync", &[0, 1]),
    ("Mail Archiver", &[4, 7]),
    ("Backup Agent", &[5, 6]),
    ("Log Shipper", &[2]),
    ("Ticket Bridge", &[0, 3]),
    ("CRM Connector", &[3]),
    ("Payroll Export", &[0]),
    ("Intranet Search", &[6]),
    ("Build Agent", &[1]),
];

/// The applications of Microsoft that are in use, in the order of [`CLIENTS`], then of [`RESOURCES`].
pub(super) fn first_party(seed: u64) -> Vec<Application> {
    let clients = CLIENTS.iter().map(|(id, name, _)| (*id, *name));
    clients
        .chain(RESOURCES.iter().copied())
        .map(|(id, name)| Application {
            id: id.to_owned(),
            name: name.to_owned(),
            object: String::new(),
            principal: uuid_of(super::rng::hash(seed, id)),
            roles: Vec::new(),
            key: String::new(),
        })
        .collect()
}

/// An application as somebody registers it.
pub(super) fn registered(name: &str, roles: &[usize], seed: u64) -> Application {
    Application {
        id: uuid_of(mix(seed, 1)),
        name: name.to_owned(),
        object: uuid_of(mix(seed, 2)),
        principal: uuid_of(mix(seed, 3)),
        roles: roles.to_vec(),
        key: uuid_of(mix(seed, 4)),
    }
}

/// The tenant's own applications.
pub(super) fn own(rng: &mut Rng) -> Vec<Application> {
    OWN.iter().map(|(name, roles)| registered(name, roles, rng.next())).collect()
}
