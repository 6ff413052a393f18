//! Words that the tenant is named from. None needs escaping in JSON: templates write them as they are.

pub(super) const GIVEN: &[&str] = &[
    "Ada", "Adele", "Aiko", "Alba", "Alex", "Amara", "Anders", "Anouk", "Aron", "Beat", "Bianca", "Bruno", "Carla",
    "Cem", "Chiara", "Clara", "Daan", "Dana", "David", "Diego", "Dunja", "Elif", "Élodie", "Emil", "Emma", "Enzo",
    "Eva", "Fabio", "Farah", "Felix", "Finn", "Florence", "Gita", "Goran", "Greta", "Hana", "Hugo", "Ida", "Ilse",
    "Ines", "Ivan", "Jana", "Jonas", "José", "Julia", "Kai", "Karim", "Katja", "Kenji", "Lara", "Lea", "Leon", "Lin",
    "Lorenz", "Luca", "Lucía", "Maja", "Malik", "Marc", "Maria", "Mats", "Mei", "Milan", "Mira", "Nadia", "Nico",
    "Noah", "Nora", "Olga", "Omar", "Oskar", "Paul", "Petra", "Pia", "Priya", "Rafael", "Rita", "Robin", "Rosa",
    "Sami", "Sara", "Sofia", "Stefan", "Sven", "Tara", "Tim", "Tomas", "Uma", "Urs", "Vera", "Victor", "Walter",
    "Yara", "Yves", "Zoe",
];

pub(super) const SURNAME: &[&str] = &[
    "Aebi",
    "Albrecht",
    "Almeida",
    "Arnold",
    "Bakker",
    "Baumann",
    "Becker",
    "Berger",
    "Bianchi",
    "Blanc",
    "Brandt",
    "Brunner",
    "Caruso",
    "Chen",
    "Costa",
    "Dahl",
    "Dubois",
    "Egger",
    "Fischer",
    "Flores",
    "Frey",
    "Gallo",
    "Garcia",
    "Gerber",
    "Graf",
    "Haas",
    "Hansen",
    "Hofer",
    "Huber",
    "Ito",
    "Jansen",
    "Jensen",
    "Kaya",
    "Keller",
    "Khan",
    "Koch",
    "Kovac",
    "Kumar",
    "Lang",
    "Larsen",
    "Lehmann",
    "Lopez",
    "Lüthi",
    "Marti",
    "Maurer",
    "Meier",
    "Meyer",
    "Moreau",
    "Moser",
    "Müller",
    "Nagy",
    "Nguyen",
    "Novak",
    "Okafor",
    "Olsen",
    "Patel",
    "Pereira",
    "Petit",
    "Popov",
    "Ricci",
    "Rossi",
    "Roth",
    "Santos",
    "Sato",
    "Schmid",
    "Schneider",
    "Silva",
    "Singh",
    "Steiner",
    "Suter",
    "Tanaka",
    "Thoma",
    "Torres",
    "Vogel",
    "Weber",
    "Weiss",
    "Widmer",
    "Winkler",
    "Wong",
    "Wyss",
    "Yilmaz",
    "Zehnder",
    "Zimmermann",
];

pub(super) const DEPARTMENTS: &[(&str, &str)] = &[
    ("Sales", "Account Manager"),
    ("Finance", "Accountant"),
    ("Human Resources", "HR Partner"),
    ("Engineering", "Engineer"),
    ("Legal", "Counsel"),
    ("Operations", "Operations Specialist"),
    ("Marketing", "Marketing Manager"),
    ("Research", "Researcher"),
    ("Procurement", "Buyer"),
    ("Support", "Support Agent"),
];

pub(super) const TEAMS: &[&str] = &[
    "All Company",
    "Sales Europe",
    "Finance",
    "People and Culture",
    "Platform",
    "Legal",
    "Operations",
    "Brand",
    "Research Lab",
    "Procurement",
    "Customer Care",
    "Board",
    "Project Alpine",
    "Project Beacon",
    "Project Cobalt",
    "Project Delta",
    "Facilities",
    "Security",
    "Data Office",
    "Quality",
];

pub(super) const FOLDERS: &[&str] = &[
    "Shared Documents",
    "Shared Documents/General",
    "Shared Documents/Contracts",
    "Shared Documents/2026",
    "Shared Documents/Reports",
    "Shared Documents/Planning",
    "Shared Documents/Archive",
];

pub(super) const MY_FOLDERS: &[&str] =
    &["Documents", "Documents/Private", "Documents/Notes", "Documents/Desktop", "Documents/Offers", "Documents/Travel"];

pub(super) const STEMS: &[&str] = &[
    "Budget",
    "Quarterly report",
    "Offer",
    "Minutes",
    "Roadmap",
    "Contract draft",
    "Invoice",
    "Price list",
    "Onboarding",
    "Salary review",
    "Forecast",
    "Customer list",
    "Architecture",
    "Test plan",
    "Press release",
    "Audit findings",
    "Risk register",
    "Travel expenses",
    "Workshop",
    "Strategy",
    "Supplier rating",
    "Handover",
];

pub(super) const EXTENSIONS: &[&str] = &["docx", "xlsx", "pptx", "pdf", "docx", "xlsx", "one", "csv", "png", "zip"];

pub(super) const SUBJECTS: &[&str] = &[
    "Minutes of today",
    "Re: offer 4711",
    "Question on the budget",
    "Fw: invoice",
    "Lunch?",
    "Re: Re: contract draft",
    "Weekly report",
    "Vacation request",
    "Release plan",
    "Re: onboarding",
    "Access to the site",
    "Your ticket",
    "Customer visit on Thursday",
    "Numbers for the board",
    "Re: supplier rating",
    "Newsletter",
    "Agenda",
    "Réunion de projet",
    "Rückfrage zur Bestellung",
    "Delivery note",
];

/// Mail folders: names and paths, the paths as they stand in JSON.
pub(super) const MAIL_FOLDERS: &[(&str, &str)] = &[
    ("Inbox", "\\\\Inbox"),
    ("Sent Items", "\\\\Sent Items"),
    ("Inbox", "\\\\Inbox"),
    ("Drafts", "\\\\Drafts"),
    ("Calendar", "\\\\Calendar"),
    ("Archive", "\\\\Archive"),
    ("Customers", "\\\\Inbox\\\\Customers"),
    ("Deleted Items", "\\\\Deleted Items"),
];

/// Companies that the tenant writes to.
pub(super) const PARTNERS: &[&str] = &[
    "fabrikam.example",
    "adatum.example",
    "northwind.example",
    "tailspin.example",
    "litware.example",
    "proseware.example",
    "wingtip.example",
    "alpineski.example",
];

/// Where anyone can have a mailbox.
pub(super) const FREE_MAIL: &[&str] = &["freemail.example", "postbox.example", "quickmail.example"];

/// The ASCII form of a name, for addresses. Capitals stay: Microsoft writes one account in two spellings, depending on
/// the feed.
pub(super) fn ascii(name: &str) -> String {
    name.chars()
        .filter_map(|letter| {
            Some(match letter {
                'é' | 'è' => 'e',
                'É' => 'E',
                'í' => 'i',
                'ü' => 'u',
                'ö' => 'o',
                'ä' => 'a',
                ' ' => return None,
                other => other,
            })
        })
        .collect()
}
