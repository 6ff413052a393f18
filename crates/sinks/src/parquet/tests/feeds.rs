//! The common schema, feed by feed.

use super::*;

/// What of the common schema a record gives; nulls left out.
async fn common(record: &str) -> String {
    let place = Place::new(json!({ "partition_by": [], "raw": false }));
    let mut row = place.row_of(record).await;
    row.retain(|column, value| !value.is_null() && !["source", "rules", "fields"].contains(&&**column));
    serde_json::to_string(&row).unwrap()
}

#[tokio::test]
async fn each_feed_fills_the_common_schema() {
    for (record, expected) in [
        (
            r#"{"CreationTime":"2026-11-22T10:09:55","Id":"u1","Operation":"New-InboxRule","OrganizationId":"t","RecordType":1,"ResultStatus":"True",
                "UserKey":"k","UserType":2,"Workload":"Exchange","ClientIP":"[2001:DB8::1]:52378","UserId":"a@b.c","ObjectId":"o","AppId":"","ClientAppId":"app",
                "ExtendedProperties":{"UserAgent":"curl"}}"#,
            r#"{"app_id":"app","client_ip":"2001:db8::1","client_port":52378,"id":"u1","object_id":"o","operation":"New-InboxRule","record_type":"1","result":"True","tenant_id":"t","time":"2026-11-22T10:09:55Z","user_agent":"curl","user_id":"a@b.c","user_type":"2","workload":"Exchange"}"#,
        ),
        (
            r#"{"id":"d1","actionId":"Git.CreateRepo","timestamp":"2026-11-22T10:09:55.1234567+01:00","actorUPN":"a@b.c","actorClientId":"app","projectId":"p","ipAddress":"203.0.113.7","userAgent":"ua","area":"Git"}"#,
            r#"{"app_id":"app","client_ip":"203.0.113.7","id":"d1","object_id":"p","operation":"Git.CreateRepo","record_type":"Git","time":"2026-11-22T09:09:55.123456Z","user_agent":"ua","user_id":"a@b.c","workload":"AzureDevOps"}"#,
        ),
        (
            r#"{"id":"a1","category":"UserManagement","activityDateTime":"2026-11-22T10:09:55Z","activityDisplayName":"Add user","result":"success","tenantId":"t",
                "initiatedBy":{"app":null,"user":{"id":"uid","userPrincipalName":"a@b.c","ipAddress":"203.0.113.7","userType":"member"}},"targetResources":[{"id":"first"},{"id":"second"}]}"#,
            r#"{"client_ip":"203.0.113.7","id":"a1","object_id":"first","operation":"Add user","record_type":"UserManagement","result":"success","tenant_id":"t","time":"2026-11-22T10:09:55Z","user_id":"a@b.c","user_type":"member","workload":"AzureActiveDirectory"}"#,
        ),
        (
            r#"{"id":"p1","activityDateTime":"2026-11-22T10:09:55Z","tenantId":"t","provisioningAction":"create","provisioningStatusInfo":{"status":"success"},
                "initiatedBy":{"id":"i","displayName":"Provisioning"},"sourceIdentity":{"id":"s"},"targetIdentity":{"id":""},"servicePrincipal":{"id":"sp"}}"#,
            r#"{"app_id":"sp","id":"p1","object_id":"s","operation":"create","record_type":"Provisioning","result":"success","tenant_id":"t","time":"2026-11-22T10:09:55Z","user_id":"i","workload":"AzureActiveDirectory"}"#,
        ),
        (
            r#"{"id":"r1","riskEventType":"unlikelyTravel","riskState":"atRisk","activityDateTime":"2026-11-22T10:09:55Z","detectedDateTime":"2026-11-22T12:00:00Z",
                "ipAddress":"203.0.113.7","userId":"uid","userPrincipalName":"a@b.c","additionalInfo":{"userAgent":"ua"}}"#,
            r#"{"client_ip":"203.0.113.7","id":"r1","object_id":"uid","operation":"unlikelyTravel","record_type":"RiskDetection","result":"atRisk","time":"2026-11-22T10:09:55Z","user_agent":"ua","user_id":"a@b.c","workload":"AzureActiveDirectory"}"#,
        ),
        (
            r#"{"EventTimestamp":"2026-11-22T10:09:55Z","OperationName":"Create","EventDataId":"e","Caller":"a@b.c","Status":"Succeeded","Category":"Administrative","ResourceId":"r",
                "Claims":{"Content":{"appid":"app","http://schemas.microsoft.com/identity/claims/tenantid":"t"}},"HttpRequest":{"ClientIpAddress":"203.0.113.7"}}"#,
            r#"{"app_id":"app","client_ip":"203.0.113.7","id":"e","object_id":"r","operation":"Create","record_type":"Administrative","result":"Succeeded","tenant_id":"t","time":"2026-11-22T10:09:55Z","user_id":"a@b.c","workload":"Azure"}"#,
        ),
        (
            r#"{"LastAccessed":"2026-11-22T10:09:55","Operation":"HardDelete","OperationResult":"Succeeded","LogonType":"Owner","Identity":"i","LogonUserDisplayName":"Ann","MailboxOwnerUPN":"a@b.c","ClientIPAddress":"::1"}"#,
            r#"{"client_ip":"::1","id":"i","object_id":"a@b.c","operation":"HardDelete","record_type":"MailboxAudit","result":"Succeeded","time":"2026-11-22T10:09:55Z","user_id":"Ann","user_type":"Owner","workload":"Exchange"}"#,
        ),
        (
            r#"{"eventTimestamp":"2026-11-22T10:09:55Z","eventDataId":"e","id":"/long","operationName":{"value":"Microsoft.Compute/write","localizedValue":"Write"},"status":{"value":"Succeeded"},
                "category":{"value":"Administrative"},"caller":"a@b.c","claims":{"ipaddr":"203.0.113.8"},"resourceId":"r"}"#,
            r#"{"client_ip":"203.0.113.8","id":"e","object_id":"r","operation":"Microsoft.Compute/write","record_type":"Administrative","result":"Succeeded","time":"2026-11-22T10:09:55Z","user_id":"a@b.c","workload":"Azure"}"#,
        ),
        (
            r#"{"time":"2026-11-22T11:00:00Z","category":"SignInLogs","operationName":"Sign-in activity","tenantId":"t","callerIpAddress":"203.0.113.9","identity":"Ann",
                "properties":{"id":"s1","createdDateTime":"2026-11-22T10:09:55Z","userPrincipalName":"a@b.c","status":{"errorCode":50126},"appId":"app"}}"#,
            r#"{"app_id":"app","client_ip":"203.0.113.9","id":"s1","operation":"Sign-in activity","record_type":"SignInLogs","result":"50126","tenant_id":"t","time":"2026-11-22T10:09:55Z","user_id":"a@b.c","workload":"AzureActiveDirectory"}"#,
        ),
        (
            r#"{"time":"2026-11-22T11:00:00Z","category":"AuditLogs","operationName":"Add user","tenantId":"t","identity":"Ann","properties":{"id":"a1","activityDateTime":"2026-11-22T10:09:55Z","result":"success"}}"#,
            r#"{"id":"a1","operation":"Add user","record_type":"AuditLogs","result":"success","tenant_id":"t","time":"2026-11-22T10:09:55Z","user_id":"Ann","workload":"AzureActiveDirectory"}"#,
        ),
        (
            r#"{"time":"2026-11-22T10:09:55Z","category":"Administrative","operationName":"WRITE","resultType":"Success","resourceId":"r","callerIpAddress":"203.0.113.7",
                "identity":{"claims":{"appid":"app","http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn":"a@b.c"}}}"#,
            r#"{"app_id":"app","client_ip":"203.0.113.7","object_id":"r","operation":"WRITE","record_type":"Administrative","result":"Success","time":"2026-11-22T10:09:55Z","user_id":"a@b.c","workload":"Azure"}"#,
        ),
        (
            r#"{"Received":"2026-11-22T10:09:55","RecipientAddress":"x@y.z","SenderAddress":"a@b.c","Status":"Delivered","FromIP":"203.0.113.7","MessageId":"<m>","MessageTraceId":"mt","Organization":"org"}"#,
            r#"{"client_ip":"203.0.113.7","id":"mt","object_id":"<m>","operation":"MessageTrace","record_type":"MessageTrace","result":"Delivered","tenant_id":"org","time":"2026-11-22T10:09:55Z","user_id":"a@b.c","workload":"Exchange"}"#,
        ),
        (
            r#"{"id":"s1","createdDateTime":"2026-11-22T10:09:55Z","userPrincipalName":"a@b.c","appId":"app","ipAddress":"203.0.113.7","status":{"errorCode":0},"homeTenantId":"h"}"#,
            r#"{"app_id":"app","client_ip":"203.0.113.7","id":"s1","operation":"Sign-in activity","record_type":"signIn","result":"0","tenant_id":"h","time":"2026-11-22T10:09:55Z","user_id":"a@b.c","workload":"AzureActiveDirectory"}"#,
        ),
        (r#"{"time":"2026-11-22 10:09:55","Id":"x","operation":"y"}"#, r#"{"id":"x","time":"2026-11-22T10:09:55Z"}"#),
        ("{}", "{}"),
    ] {
        assert_eq!(common(record).await, expected, "{record}");
    }
}

#[tokio::test]
async fn an_address_is_the_first_value_that_reads_as_one() {
    for (addresses, expected) in [
        (r#""ClientIP":"203.0.113.7:443""#, r#""client_ip":"203.0.113.7","client_port":443"#),
        (r#""ClientIP":"","ClientIPAddress":"203.0.113.8""#, r#""client_ip":"203.0.113.8""#),
        (r#""ClientIP":"<null>","ActorIpAddress":"2001:db8:0:0::1""#, r#""client_ip":"2001:db8::1""#),
        (r#""ClientIP":"mail.example.com","SenderIp":"::ffff:203.0.113.9""#, r#""client_ip":"203.0.113.9""#),
        (r#""ClientIP":["unknown","203.0.113.10"]"#, r#""client_ip":"203.0.113.10""#),
        (r#""ClientIP":null,"ClientIPAddress":{}"#, ""),
    ] {
        let record = format!(r#"{{"CreationTime":"","Operation":"",{addresses}}}"#);
        assert_eq!(common(&record).await, format!("{{{expected}}}"), "{addresses}");
    }
}

#[tokio::test]
async fn a_time_that_cannot_be_read_is_null() {
    for time in [r#""9/20/2023 4:05:03 AM""#, r#""""#, "null", "{}", "1795348800"] {
        assert_eq!(common(&format!(r#"{{"CreationTime":{time},"Operation":"x"}}"#)).await, r#"{"operation":"x"}"#);
    }
    let several = r#"{"CreationTime":["soon","2026-11-22T10:09:55Z"],"Operation":"x"}"#;
    assert_eq!(common(several).await, r#"{"operation":"x","time":"2026-11-22T10:09:55Z"}"#);
}

#[tokio::test]
async fn a_record_of_no_known_feed_has_a_time_where_any_feed_has_one() {
    let read = r#"{"time":"2026-11-22T10:00:00Z"}"#;
    for (record, expected) in [
        (r#"{"CreationTime":"2026-11-22T10:00:00"}"#, read),
        (r#"{"properties":{"createdDateTime":"2026-11-22T10:00:00Z"}}"#, read),
        (r#"{"receivedDateTime":"2026-11-22T10:00:00Z"}"#, read),
        // The feeds' order counts, not the record's; what cannot be read is passed over.
        (r#"{"createdDateTime":"2026-01-01T00:00:00Z","CreationTime":"2026-11-22T10:00:00"}"#, read),
        (r#"{"CreationTime":"soon","timestamp":"2026-11-22T10:00:00Z"}"#, read),
        // Nothing but the time is guessed.
        (r#"{"CreationTime":"2026-11-22T10:00:00","UserId":"a@b.c","Workload":"Exchange"}"#, read),
        // A feed that is known reads its own time only.
        (r#"{"CreationTime":"soon","Operation":"x","time":"2026-11-22T10:00:00Z"}"#, r#"{"operation":"x"}"#),
    ] {
        assert_eq!(common(record).await, expected, "{record}");
    }
}

#[test]
fn every_path_is_the_printed_name_of_a_field() {
    // `Schema::new` gives up on a path that is not.
    assert!(super::super::schema::Schema::new(&FieldTable::default(), &[]).is_some());
}
