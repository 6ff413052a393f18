//! Which organisations there are: a list in CSV, as Azure DevOps' catalogue of an Entra tenant gives it.
//!
//! The catalogue is what the portal's "Download" button calls. Microsoft does not document it, and service principals
//! may get the sign-in page instead, with status 200: then the organisations must be named in the config.

use csv_core::ReadFieldResult;

/// A name that may be part of a path: letters, digits and hyphens, as Azure DevOps allows.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The names in the column `Organization Name`. `None`: this is no such list.
pub(super) fn names(csv: &str) -> Option<Vec<String>> {
    let mut rows = rows(csv.trim_start_matches('\u{feff}')).into_iter();
    let header = rows.next()?;
    let column = header.iter().position(|name| name.trim().eq_ignore_ascii_case("Organization Name"))?;
    let names = rows.filter_map(|row| row.get(column).map(|name| name.trim().to_owned()));
    Some(names.filter(|name| is_name(name)).collect())
}

fn rows(csv: &str) -> Vec<Vec<String>> {
    let (mut reader, mut input) = (csv_core::Reader::new(), csv.as_bytes());
    let (mut rows, mut row, mut field, mut buffer) = (Vec::new(), Vec::new(), Vec::new(), [0; 1024]);
    loop {
        let (found, read, written) = reader.read_field(input, &mut buffer);
        input = &input[read..];
        field.extend_from_slice(&buffer[..written]);
        match found {
            // With nothing left, the next call ends the last field.
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::Field { record_end } => {
                row.push(String::from_utf8_lossy(&std::mem::take(&mut field)).into_owned());
                if record_end {
                    rows.push(std::mem::take(&mut row));
                }
            }
            ReadFieldResult::End => return rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_their_column() {
        let csv = "\u{feff}Organization Id,Organization Name,Url,Owner\r\n1,contoso,https://x,\"Lovelace, \"\"Ada\"\"\"\r\n2,\"fabrikam-2\",y,z\r\n3,../evil,y,z\n";
        assert_eq!(names(csv).unwrap(), ["contoso", "fabrikam-2"]);
        assert_eq!(rows("a,\"b \"\"c\"\", d\"")[0], ["a", "b \"c\", d"]);
        assert_eq!(names("Organization Name,Url\n").unwrap(), [""; 0]);
        for no_list in ["", "<html><title>Azure DevOps Services | Sign In</title></html>", "a,b\n1,2\n"] {
            assert_eq!(names(no_list), None, "{no_list}");
        }
    }
}
