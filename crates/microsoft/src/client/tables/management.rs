//! Verdicts of the Office 365 Management Activity API: its AF codes.

use super::{HTML, Judgement, Refusal};
use crate::client::verdict::Verdict;

/// What an answer means when unified auditing is off. It names the tenant as missing, which it is not.
const AUDITING_OFF: &str = "unified audit logging is switched off in this tenant (Microsoft words it as a missing tenant); \
     switch it on in the Purview portal, or with Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled $true, and wait \
     up to 60 minutes";

pub(super) fn judge(refusal: &Refusal) -> Option<Judgement> {
    let lower = refusal.message.to_ascii_lowercase();
    if lower.contains("dataserviceexception") && lower.contains("does not exist") {
        return Some((Verdict::Stop, AUDITING_OFF.to_owned()));
    }
    if refusal.code == "AF429" || lower.contains("too many request") {
        return Some((Verdict::Throttled, "too many requests".to_owned()));
    }
    let (verdict, meaning) = match refusal.code.as_str() {
        // Consent may be newer than the token: a fresh one is tried first.
        "AF10001" => (
            Verdict::Reauth,
            "the token lacks ActivityFeed.Read; grant the app the application permission ActivityFeed.Read of \"Office 365 \
             Management APIs\" (for DLP.All with detected values ActivityFeed.ReadDlp too), and its admin consent",
        ),
        "AF20001" | "AF20002" | "AF20053" | "AF20054" => {
            (Verdict::Stop, "the request is malformed; please report this with this message")
        }
        "AF20003" | "AF20021" => {
            (Verdict::Stop, "the webhook was not accepted; downspout uses none, so stop the subscription once")
        }
        "AF20010" => (
            Verdict::Stop,
            "the token belongs to another tenant than `tenant_id`; check `tenant_id` and where the app is registered",
        ),
        "AF20011" => (
            Verdict::Stop,
            "Microsoft knows no such tenant; check `tenant_id` and `cloud`, and that unified audit logging is on",
        ),
        "AF20012" => {
            (Verdict::Stop, "the tenant is not set up correctly at Microsoft; if it stays, open a support case there")
        }
        "AF20013" => (Verdict::Stop, "`tenant_id` must be the GUID of the tenant, not a domain name"),
        "AF20020" => (
            Verdict::Stop,
            "no such content type; there are Audit.AzureActiveDirectory, Audit.Exchange, Audit.SharePoint, Audit.General \
             and DLP.All",
        ),
        "AF20022" => (Verdict::Handle, "there is no subscription"),
        "AF20023" => (
            Verdict::Handle,
            "the subscription was disabled by an administrator; enable it again, or take the content type out of the config",
        ),
        "AF20024" => (Verdict::Handle, "the subscription is enabled already"),
        "AF20030" | "AF20055" => (
            Verdict::Handle,
            "the window was refused: longer than 24 hours, or more than 7 days back; check this machine's clock",
        ),
        "AF20031" => (Verdict::Handle, "the link to the next page is no longer valid"),
        "AF20050" => (Verdict::Skip, "the content does not exist"),
        "AF20051" => (Verdict::Skip, "the content has expired"),
        "AF20052" => (Verdict::Skip, "the id of the content is not valid"),
        "AF50000" | "AF50005" | "AF50006" => (Verdict::Retry, "an internal error of the service"),
        _ if refusal.html && refusal.status != 401 && refusal.status < 500 => (Verdict::Retry, HTML),
        _ => return None,
    };
    Some((verdict, meaning.to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::client::Api;
    use crate::client::tables::Refusal;
    use crate::client::verdict::Verdict::{self, Handle, Reauth, Retry, Skip, Stop, Throttled};

    #[test]
    fn codes_come_before_statuses() {
        let cases: [(u16, &str, Verdict); 14] = [
            (
                403,
                r#"{"error":{"code":"AF429","message":"Too many requests. Method=GetBlob, PublisherId=0"}}"#,
                Throttled,
            ),
            (429, "", Throttled),
            (403, r#"{"error":{"code":"AF10001","message":"no permission"}}"#, Reauth),
            (400, r#"{"error":{"code":"AF20024","message":"already enabled"}}"#, Handle),
            (400, "{'error':{'code':'AF20022','message':'no subscription'}}", Handle),
            (400, r#"{"error":{"code":"AF20055","message":"window"}}"#, Handle),
            (404, r#"{"error":{"code":"AF20050","message":"gone"}}"#, Skip),
            (410, r#"{"error":{"code":"AF20051","message":"expired"}}"#, Skip),
            (500, r#"{"error":{"code":"AF50000","message":"internal"}}"#, Retry),
            (401, "", Reauth),
            (503, "<html>down</html>", Retry),
            (403, "<!DOCTYPE html><title>Blocked</title>", Retry),
            (400, "Microsoft.Office.Compliance.Audit.DataServiceException: Tenant 1 does not exist.", Stop),
            (400, r#"{"error":{"code":"AF20013","message":"no guid"}}"#, Stop),
        ];
        for (status, body, verdict) in cases {
            let trouble = Refusal::read(status, body.as_bytes()).judge(Api::Management);
            assert_eq!(trouble.verdict, verdict, "{trouble}");
        }
    }

    #[test]
    fn messages_say_what_was_answered_what_it_means_and_what_to_do() {
        let off = "Microsoft.Office.Compliance.Audit.DataServiceException: Tenant 1 does not exist.";
        let said = Refusal::read(400, off.as_bytes()).judge(Api::Management).to_string();
        assert!(said.contains("does not exist") && said.contains("audit logging is switched off"), "{said}");
        let proxy = Refusal::read(200, b"<html><body>Sign in</body></html>").judge(Api::Management).to_string();
        assert!(proxy.contains("a proxy, firewall or sign-in page"), "{proxy}");
        let forged = Refusal::read(400, b"bad\nERROR all is lost").judge(Api::Management).to_string();
        assert!(!forged.contains('\n'));
    }
}
