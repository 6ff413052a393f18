//! Every shape that Microsoft's schemas carry, and those they do not carry yet.

use super::*;

#[track_caller]
fn table(cases: &[(&str, &str)]) {
    for (record, expected) in cases {
        assert_eq!(flat(record), *expected, "{record}");
        let batch = flatten(record);
        assert_eq!(rebuild(batch.event(0)), serde_json::from_str::<serde_json::Value>(record).unwrap(), "{record}");
    }
}

#[test]
fn name_value_arrays() {
    table(&[
        (
            r#"{"Parameters":[{"Name":"Identity","Value":"ada"},{"Value":"smtp:eve@x.example","Name":"ForwardingSmtpAddress"}]}"#,
            r#"{"Parameters.Identity":"ada","Parameters.ForwardingSmtpAddress":"smtp:eve@x.example"}"#,
        ),
        (
            r#"{"OperationProperties":[{"Name":"MailAccessType","Value":"Bind"},{"Name":"IsThrottled","Value":"False"}]}"#,
            r#"{"OperationProperties.MailAccessType":"Bind","OperationProperties.IsThrottled":"False"}"#,
        ),
        (
            r#"{"ExtendedProperties":[{"Name":"additionalDetails","Value":"{\"User-Agent\":\"curl\"}"},{"Name":"UserAgent","Value":"x; y=z"}]}"#,
            r#"{"ExtendedProperties.additionalDetails.User-Agent":"curl","ExtendedProperties.UserAgent":"x; y=z"}"#,
        ),
        (r#"{"DeviceProperties":[{"Name":"OS","Value":"Windows 10"}]}"#, r#"{"DeviceProperties.OS":"Windows 10"}"#),
        (r#"{"ExtraProperties":[{"Key":"k","Value":1.50}]}"#, r#"{"ExtraProperties.k":1.50}"#),
        (
            r#"{"additionalDetails":[{"key":"User-Agent","value":"curl"}]}"#,
            r#"{"additionalDetails.User-Agent":"curl"}"#,
        ),
        (r#"{"Fields":[{"name":"a","value":null}]}"#, r#"{"Fields.a":null}"#),
    ]);
}

#[test]
fn modified_properties() {
    table(&[
        (
            r#"{"ModifiedProperties":[{"Name":"Role.DisplayName","NewValue":"Admin","OldValue":""},{"Name":"MethodExecutionResult.","NewValue":"x"},{"Name":"Included Updated Properties","NewValue":"a, b","OldValue":""}]}"#,
            r#"{"ModifiedProperties[Role.DisplayName].NewValue":"Admin","ModifiedProperties[Role.DisplayName].OldValue":"","ModifiedProperties[MethodExecutionResult.].NewValue":"x","ModifiedProperties.Included Updated Properties.NewValue":"a, b","ModifiedProperties.Included Updated Properties.OldValue":""}"#,
        ),
        (
            "{\"ModifiedProperties\":[{\"Name\":\"AppRole\",\"NewValue\":\"[\\r\\n  true,\\r\\n {\\\"Id\\\":7}\\r\\n]\",\"OldValue\":\"[] => [[Id: 1]]\"}]}",
            r#"{"ModifiedProperties.AppRole.NewValue":[true],"ModifiedProperties.AppRole.NewValue.Id":[7],"ModifiedProperties.AppRole.OldValue":"[] => [[Id: 1]]"}"#,
        ),
        (
            r#"{"targetResources":[{"id":"7","displayName":"app","modifiedProperties":[{"displayName":"KeyDescription","oldValue":"[]","newValue":"[\"k=1\",\"k=2\"]"}]}]}"#,
            r#"{"targetResources.id":["7"],"targetResources.displayName":["app"],"targetResources.modifiedProperties.KeyDescription.oldValue":[[]],"targetResources.modifiedProperties.KeyDescription.newValue":["k=1","k=2"]}"#,
        ),
        (
            r#"{"ModifiedProperties":["AttachmentCollection","Flags"]}"#,
            r#"{"ModifiedProperties":["AttachmentCollection","Flags"]}"#,
        ),
        (r#"{"ModifiedProperties":[]}"#, r#"{"ModifiedProperties":[]}"#),
    ]);
}

#[test]
fn other_arrays_and_objects() {
    table(&[
        (
            r#"{"Actor":[{"ID":"ada@x.example","Type":5},{"ID":"1003","Type":3}],"Target":[{"ID":"app","Type":1}]}"#,
            r#"{"Actor.ID":["ada@x.example","1003"],"Actor.Type":[5,3],"Target.ID":["app"],"Target.Type":[1]}"#,
        ),
        (
            r#"{"Folders":[{"Path":"\\Inbox","FolderItems":[{"InternetMessageId":"<a>"},{"InternetMessageId":"<b>"}]},{"Path":"\\Sent","FolderItems":[]}]}"#,
            r#"{"Folders.Path":["\\Inbox","\\Sent"],"Folders.FolderItems.InternetMessageId":["<a>","<b>"],"Folders.FolderItems":[[]]}"#,
        ),
        (
            r#"{"AffectedItems":[{"Id":"1","ParentFolder":{"Path":"\\Drafts"},"Subject":"s"},{"Id":"2"}]}"#,
            r#"{"AffectedItems.Id":["1","2"],"AffectedItems.ParentFolder.Path":["\\Drafts"],"AffectedItems.Subject":["s"]}"#,
        ),
        (
            r#"{"Item":{"Id":"1","ParentFolder":{"Path":"\\Inbox","Name":"Inbox"},"Attachments":"a.pdf (10b)"}}"#,
            r#"{"Item.Id":"1","Item.ParentFolder.Path":"\\Inbox","Item.ParentFolder.Name":"Inbox","Item.Attachments":"a.pdf (10b)"}"#,
        ),
        (r#"{"Item":"text"}"#, r#"{"Item":"text"}"#),
        (r#"{"Item":["a",null,{}]}"#, r#"{"Item":["a",null,{}]}"#),
        (
            r#"{"AlertLinks":[{"AlertLinkHref":""},{"AlertLinkHref":"https://x.example/?a=b"}]}"#,
            r#"{"AlertLinks.AlertLinkHref":["","https://x.example/?a=b"]}"#,
        ),
        (r#"{"Recipients":["a@x.example"]}"#, r#"{"Recipients":["a@x.example"]}"#),
        (r#"{"a":[[1,[2]],[],[{}]]}"#, r#"{"a":[1,2,[],{}]}"#),
        (r#"{"a":{},"b":{"c":{}}}"#, r#"{"a":{},"b.c":{}}"#),
        ("{}", "{}"),
    ]);
}

#[test]
fn json_in_strings() {
    table(&[
        (
            r#"{"Data":"{\"f3u\":\"ada\",\"n\":[1,2]}","Other":"{not json}"}"#,
            r#"{"Data.f3u":"ada","Data.n":[1,2],"Other":"{not json}"}"#,
        ),
        (
            r#"{"RuleActions":"[{\"ActionType\":\"Forward\",\"Recipients\":[\"eve\"]}]"}"#,
            r#"{"RuleActions.ActionType":["Forward"],"RuleActions.Recipients":["eve"]}"#,
        ),
        (
            r#"{"properties":"{\"requestbody\":\"{\\\"properties\\\":{\\\"roleDefinitionId\\\":\\\"\\u00e9\\\"}}\"}"}"#,
            r#"{"properties.requestbody.properties.roleDefinitionId":"é"}"#,
        ),
        (
            r#"{"a":" [1] ","b":"{}","c":"[]","d":"{","e":"1","f":"\"x\"","g":"[1}"}"#,
            r#"{"a":[1],"b":{},"c":[],"d":"{","e":"1","f":"\"x\"","g":"[1}"}"#,
        ),
    ]);
}

#[test]
fn an_opened_string_is_still_found() {
    let batch = flatten(r#"{"Data":"{\"f3u\":\"ada\"}"}"#);
    let data = batch.fields().intern_path(&["Data"]).unwrap();
    assert_eq!(batch.event(0).get(data), Some(Value::String("{\"f3u\":\"ada\"}")));
}

#[test]
fn strings_stay_closed_on_request() {
    let config = FlattenConfig { open_json_strings: false, ..FlattenConfig::default() };
    let batch = flatten_with(&config, &[r#"{"Data":"[1]","Parameters":"-Name \"[1]\""}"#]);
    assert_eq!(print(&batch), "{\"Data\":\"[1]\",\"Parameters.Name\":\"[1]\"}\n");
}

#[test]
fn name_value_elements_and_their_lookalikes() {
    table(&[
        // Two spellings of one name keep both values.
        (r#"{"P":[{"Name":"a","Value":"1"},{"Name":"a","Value":"2"}]}"#, r#"{"P.a":["1","2"]}"#),
        // More members than the pair stand beneath the name.
        (
            r#"{"P":[{"Name":"a","Value":"1","Type":"t","NewValue":2}]}"#,
            r#"{"P.a":"1","P.a.Type":"t","P.a.NewValue":2}"#,
        ),
        // What is nested in the value stands where its JSON text would.
        (
            r#"{"P":[{"Name":"a","Value":{"NewValue":1}},{"Name":"b","Value":[{"c":1}]},{"Name":"c","Value":[]}]}"#,
            r#"{"P.a.NewValue":1,"P.b.c":[1],"P.c":[]}"#,
        ),
        (r#"{"P":[{"Name":"","Value":"1"}]}"#, r#"{"P[]":"1"}"#),
        // The name is escaped, and so is a value.
        (r#"{"P":[{"Name":"a\tb","Value":"c\/d"}]}"#, r#"{"P[a\tb]":"c/d"}"#),
        // Not names: no string, no value, two names, the wrong case, no array.
        (r#"{"P":[{"Name":null,"Value":"1"}]}"#, r#"{"P.Name":[null],"P.Value":["1"]}"#),
        (r#"{"P":[{"Name":7,"Value":"1"}]}"#, r#"{"P.Name":[7],"P.Value":["1"]}"#),
        (r#"{"P":[{"Name":"a"}]}"#, r#"{"P.Name":["a"]}"#),
        (r#"{"P":[{"Name":"a","Key":"b","Value":"1"}]}"#, r#"{"P.Name":["a"],"P.Key":["b"],"P.Value":["1"]}"#),
        (r#"{"P":[{"Name":"a","value":"1"}]}"#, r#"{"P.Name":["a"],"P.value":["1"]}"#),
        (r#"{"P":{"Name":"a","Value":"1"}}"#, r#"{"P.Name":"a","P.Value":"1"}"#),
        // Mixed arrays are decided element by element.
        (
            r#"{"P":[{"Name":"a","Value":"1"},"x",{"ID":"b"},[{"Name":"c","Value":"2"}]]}"#,
            r#"{"P.a":"1","P":["x"],"P.ID":["b"],"P.c":["2"]}"#,
        ),
    ]);
}

#[test]
fn a_repeated_member_keeps_both_values() {
    assert_eq!(flat(r#"{"a":1,"a":{"b":2,"b":3}}"#), r#"{"a":1,"a.b":[2,3]}"#);
    assert_eq!(flat(r#"{"P":[{"Name":"a","Name":"b","Value":1}]}"#), r#"{"P.Name":["a","b"],"P.Value":[1]}"#);
}

#[test]
fn command_lines() {
    let cases = [
        (r#"-PurgeType "HardDelete""#, r#"{"Parameters.PurgeType":"HardDelete"}"#),
        (
            r#"-Identity "x" -Purge -PurgeType "HardDelete" -Confirm:$false -Force"#,
            r#"{"Parameters.Identity":"x","Parameters.Purge":"","Parameters.PurgeType":"HardDelete","Parameters.Confirm":"$false","Parameters.Force":""}"#,
        ),
        (
            r#"-ContentMatchQuery "subject:"a b" AND from=ada" -Name "q""#,
            r#"{"Parameters.ContentMatchQuery":"subject:\"a b\" AND from=ada","Parameters.Name":"q"}"#,
        ),
        (
            "-Comment \"line one\nline two - with -dash and it's = fine\" -Priority -1 -Mode Enable",
            r#"{"Parameters.Comment":"line one\nline two - with -dash and it's = fine","Parameters.Priority":"-1","Parameters.Mode":"Enable"}"#,
        ),
        (
            r#"-TeamsLocation ("ALL") -NotifyUser "a","b" -Users ("a", "b") -Empty """#,
            r#"{"Parameters.TeamsLocation":"ALL","Parameters.NotifyUser":"\"a\",\"b\"","Parameters.Users":"(\"a\", \"b\")","Parameters.Empty":""}"#,
        ),
        (r#"-Sensitive ("{"MaxConfid"#, r#"{"Parameters.Sensitive":"(\"{\"MaxConfid"}"#),
        (r#"-Name "cut off"#, r#"{"Parameters.Name":"\"cut off"}"#),
        (r#"-Rule ("{"a":[1,2]}") -X"#, r#"{"Parameters.Rule.a":[1,2],"Parameters.X":""}"#),
        ("-Name  two words   -Next:\"a b\"  ", r#"{"Parameters.Name":"two words","Parameters.Next":"a b"}"#),
        ("-Name \"a\" -name \"b\" -Name \"c\"", r#"{"Parameters.Name":["a","c"],"Parameters.name":"b"}"#),
        ("", r#"{"Parameters":""}"#),
        ("plain text -Not", r#"{"Parameters":"plain text -Not"}"#),
        ("-1", r#"{"Parameters":"-1"}"#),
        ("-", r#"{"Parameters":"-"}"#),
    ];
    for (line, expected) in cases {
        let record = serde_json::json!({ "Parameters": line });
        let batch = flatten(&record.to_string());
        assert_eq!(print(&batch).trim_end(), expected);
        assert_eq!(rebuild(batch.event(0)), record);
    }
    // Only there, and only at the top.
    assert_eq!(flat(r#"{"a":{"Parameters":"-A b"},"Text":"-A b"}"#), r#"{"a.Parameters":"-A b","Text":"-A b"}"#);
}

#[test]
fn one_field_in_three_forms() {
    let records = [
        r#"{"Parameters":[{"Name":"a","Value":"1"}],"Item":{"Id":"1"}}"#,
        r#"{"Parameters":"-a \"2\"","Item":"text"}"#,
        r#"{"Parameters":["3",4],"Item":[{"Id":"2"}]}"#,
        r#"{"Parameters":"","Item":null}"#,
    ];
    insta::assert_snapshot!(print(&flatten_with(&FlattenConfig::default(), &records)), @r#"
    {"Parameters.a":"1","Item.Id":"1"}
    {"Parameters.a":"2","Item":"text"}
    {"Parameters":["3",4],"Item.Id":["2"]}
    {"Parameters":"","Item":null}
    "#);
}

#[test]
fn a_second_flatten_changes_nothing() {
    let fields = Arc::default();
    let mut batch = decode(&[r#"{"a":{"b":[1]},"c":"[1]"}"#], &fields);
    let mut flatten = transform(&FlattenConfig::default(), &fields);
    flatten.apply(&mut batch, &mut Outputs::default()).unwrap();
    let once = print(&batch);
    flatten.fork().apply(&mut batch, &mut Outputs::default()).unwrap();
    assert_eq!(print(&batch), once);
}

#[test]
fn additions_survive_and_are_no_part_of_the_record() {
    let fields = Arc::default();
    let mut batch = decode(&[r#"{"a":{"b":1}}"#, r#"{"a":{"b":2}}"#], &fields);
    let geo = fields.intern_path(&["geo", "city"]).unwrap();
    batch.add(1, geo, Value::String("Delft"));
    transform(&FlattenConfig::default(), &fields).apply(&mut batch, &mut Outputs::default()).unwrap();
    assert_eq!(print(&batch), "{\"a.b\":1}\n{\"a.b\":2,\"geo.city\":\"Delft\"}\n");
    assert_eq!(rebuild(batch.event(1)), serde_json::json!({"a": {"b": 2}}));
}

#[test]
fn what_a_filter_left_is_flattened() {
    let fields = Arc::default();
    let mut batch = decode(&[r#"{"a":{"b":1}}"#, r#"{"a":{"b":2}}"#, r#"{"a":["x\ny"]}"#], &fields);
    batch.retain(|event| event.index() == 2);
    transform(&FlattenConfig::default(), &fields).apply(&mut batch, &mut Outputs::default()).unwrap();
    assert_eq!(print(&batch), "{\"a\":[\"x\\ny\"]}\n");
}

#[test]
fn the_config_is_checked() {
    assert!(FlattenConfig::default().plan().is_ok());
    let errors = FlattenConfig { max_fields: 0, ..FlattenConfig::default() }.plan().err().unwrap();
    assert_eq!(errors[0].key, "max_fields");
}
