//! Values in files of their own: the list of a provider's tenants.

use crate::Plan;

const ID: &str = "0a1b2c3d-0000-1111-2222-333344445555";

/// What is wrong with a config whose tenants stand in a file with that text; the file is called `FILE`.
fn problems(file: &str, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    let config = format!(
        "data_dir: d\nsources:\n  in:\n    type: entra_signins\n    tenants: '{path}'\n    auth: {{ managed_identity: true }}\n\
         sinks:\n  out: {{ type: blackhole, inputs: [in] }}\n"
    );
    let planned = Plan::from_text("pipeline.yaml", &config, &super::env);
    planned.err().map(|problems| problems.to_string().replace(&path, "FILE")).unwrap_or_default()
}

#[test]
fn a_list_may_be_yaml_or_json() {
    let yaml =
        format!("# ours\n- tenant_id: {ID}\n  name: contoso\n  auth: {{ client_id: a, client_secret: '${{WORD}}' }}\n");
    let json = format!("[\n\t{{\n\t\t\"tenant_id\": \"{ID}\",\n\t\t\"name\": \"a\\/b \\u00e9\"\n\t}}\n]\n");
    for (file, text) in [("tenants.yaml", &yaml), ("tenants.json", &json)] {
        assert_eq!(problems(file, text), "", "{text}");
    }
}

#[test]
fn mistakes_name_the_file_and_the_place() {
    let cases = [
        (format!("- tenant_id: {ID}\n- tenant_id: contoso.com\n"), "--> FILE:2:14"),
        (format!("- tenant_id: {ID}\n  nmae: contoso\n"), "--> FILE:2:3"),
        (format!("- tenant_id: {ID}\n- tenant_id: {ID}\n"), "--> FILE:2:14"),
        (format!("- tenant_id: {ID}\n  name: '${{ABSENT}}'\n"), "--> FILE:2:9"),
        ("- [\n".to_owned(), "--> FILE:2:1"),
        (String::new(), "--> FILE:1:1"),
        ("tenants: []\n".to_owned(), "--> FILE:1:1"),
    ];
    for (text, place) in cases {
        let told = problems("tenants.yaml", &text);
        assert!(told.contains(place), "{place}: {told}");
    }
    let secret = problems(
        "tenants.yaml",
        &format!("- tenant_id: {ID}\n  auth: {{ client_secret: hunter2, client_id: 7, x: 1 }}\n"),
    );
    assert!(secret.contains("--> FILE:2") && !secret.contains("hunter2"), "{secret}");
}

#[test]
fn a_file_that_is_not_there_is_told_where_it_is_named() {
    let config = "data_dir: d\nsources:\n  in: { type: entra_signins, tenants: no/such/file.yaml }\nsinks:\n  out: { type: blackhole, inputs: [im] }\n";
    let told = Plan::from_text("pipeline.yaml", config, &super::env).unwrap_err().to_string();
    assert!(
        told.contains("cannot read the config file no/such/file.yaml") && told.contains("pipeline.yaml:3:"),
        "{told}"
    );
    // So are the mistakes elsewhere.
    assert!(told.contains("no component gives `im`") && told.matches("error:").count() == 2, "{told}");
}
