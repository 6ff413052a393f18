"""The common schema as plain tables: which path of which feed fills which column.

A column takes the first scalar that is neither null nor the empty text: path by path, and within a
path in the order of the record. `=text` is a constant. `client_ip` takes the first that reads as an
address, `time` the first that reads as a time; `client_port` comes with `client_ip`.

Kept apart from the project's own table on purpose: tests/tools/expected.py judges the project by it.
"""

UNIFIED = {
    "time": ["CreationTime"],
    "id": ["Id"],
    "tenant_id": ["OrganizationId"],
    "workload": ["Workload"],
    "operation": ["Operation"],
    "record_type": ["RecordType"],
    "result": ["ResultStatus"],
    "user_id": ["UserId"],
    "user_type": ["UserType"],
    "object_id": ["ObjectId"],
    "app_id": ["ApplicationId", "AppId", "ClientAppId", "AppAccessContext.ClientAppId"],
    "user_agent": ["UserAgent", "ExtendedProperties.UserAgent",
                   "ExtendedProperties.additionalDetails.User-Agent", "ClientInfoString", "ActorInfoString"],
    "client_ip": ["ClientIP", "ClientIPAddress", "ActorIpAddress", "ActorIP", "UserIp", "SenderIp"],
}
SIGNIN = {
    "time": ["createdDateTime"],
    "id": ["id"],
    "tenant_id": ["resourceTenantId", "homeTenantId", "tenantId"],
    "workload": ["=AzureActiveDirectory"],
    "operation": ["=Sign-in activity"],
    "record_type": ["signInEventTypes", "=signIn"],
    "result": ["status.errorCode"],
    "user_id": ["userPrincipalName", "userId", "servicePrincipalId"],
    "user_type": ["userType"],
    "object_id": ["resourceId"],
    "app_id": ["appId"],
    "user_agent": ["userAgent"],
    "client_ip": ["ipAddress"],
}
AUDIT = {
    "time": ["activityDateTime"],
    "id": ["id"],
    "tenant_id": ["tenantId"],
    "workload": ["=AzureActiveDirectory"],
    "operation": ["activityDisplayName"],
    "record_type": ["category"],
    "result": ["result"],
    "user_id": ["initiatedBy.user.userPrincipalName", "initiatedBy.user.id",
                "initiatedBy.app.servicePrincipalId", "initiatedBy.app.displayName"],
    "user_type": ["initiatedBy.user.userType"],
    "object_id": ["targetResources.id"],
    "app_id": ["initiatedBy.app.appId"],
    "user_agent": ["additionalDetails.User-Agent"],
    "client_ip": ["initiatedBy.user.ipAddress"],
}
TENANT_CLAIM = "[http://schemas.microsoft.com/identity/claims/tenantid]"
UPN_CLAIM = "[http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn]"
AZURE_REST = {
    "time": ["eventTimestamp"],
    "id": ["eventDataId", "id"],
    "tenant_id": ["tenantId", "claims" + TENANT_CLAIM],
    "workload": ["=Azure"],
    "operation": ["operationName.value", "operationName"],
    "record_type": ["category.value", "category"],
    "result": ["status.value", "status"],
    "user_id": ["caller"],
    "user_type": ["claims.idtyp"],
    "object_id": ["resourceId"],
    "app_id": ["claims.appid"],
    "client_ip": ["httpRequest.clientIpAddress", "claims.ipaddr"],
}
AZURE_POWERSHELL = {
    "time": ["EventTimestamp"],
    "id": ["EventDataId"],
    "tenant_id": ["TenantId", "Claims.Content" + TENANT_CLAIM],
    "workload": ["=Azure"],
    "operation": ["OperationName"],
    "record_type": ["Category"],
    "result": ["Status"],
    "user_id": ["Caller"],
    "user_type": ["Claims.Content.idtyp"],
    "object_id": ["ResourceId"],
    "app_id": ["Claims.Content.appid"],
    "client_ip": ["HttpRequest.ClientIpAddress", "Claims.Content.ipaddr"],
}
AZURE_DIAGNOSTIC = {
    "time": ["time"],
    "id": ["properties.eventDataId", "eventDataId"],
    "tenant_id": ["tenantId", "identity.claims" + TENANT_CLAIM],
    "workload": ["=Azure"],
    "operation": ["operationName"],
    "record_type": ["category"],
    "result": ["resultType"],
    "user_id": ["identity.claims" + UPN_CLAIM, "identity.claims.appid", "identity"],
    "user_type": ["identity.claims.idtyp"],
    "object_id": ["resourceId"],
    "app_id": ["identity.claims.appid"],
    "client_ip": ["callerIpAddress", "identity.claims.ipaddr"],
}
DEVOPS = {
    "time": ["timestamp"],
    "id": ["id"],
    "workload": ["=AzureDevOps"],
    "operation": ["actionId"],
    "record_type": ["area"],
    "user_id": ["actorUPN", "actorUserId"],
    "object_id": ["projectId"],
    "app_id": ["actorClientId"],
    "user_agent": ["userAgent"],
    "client_ip": ["ipAddress"],
}
MESSAGE_TRACE = {
    "time": ["receivedDateTime", "Received"],
    "id": ["id", "MessageTraceId"],
    "tenant_id": ["Organization"],
    "workload": ["=Exchange"],
    "operation": ["=MessageTrace"],
    "record_type": ["=MessageTrace"],
    "result": ["status", "Status"],
    "user_id": ["senderAddress", "SenderAddress"],
    "object_id": ["messageId", "MessageId"],
    "client_ip": ["fromIP", "FromIP"],
}
MAILBOX_AUDIT = {
    "time": ["LastAccessed"],
    "id": ["Identity"],
    "workload": ["=Exchange"],
    "operation": ["Operation"],
    "record_type": ["=MailboxAudit"],
    "result": ["OperationResult"],
    "user_id": ["LogonUserDisplayName", "LogonUserSid"],
    "user_type": ["LogonType"],
    "object_id": ["MailboxOwnerUPN", "MailboxResolvedOwnerName"],
    "app_id": ["AppId", "ClientAppId"],
    "user_agent": ["ClientInfoString"],
    "client_ip": ["ClientIPAddress", "ClientIP"],
}
PROVISIONING = {
    "time": ["activityDateTime"],
    "id": ["id"],
    "tenant_id": ["tenantId"],
    "workload": ["=AzureActiveDirectory"],
    "operation": ["provisioningAction"],
    "record_type": ["=Provisioning"],
    "result": ["provisioningStatusInfo.status"],
    "user_id": ["initiatedBy.id", "initiatedBy.displayName"],
    "object_id": ["targetIdentity.id", "sourceIdentity.id"],
    "app_id": ["servicePrincipal.id"],
}
RISK_DETECTION = {
    "time": ["activityDateTime", "detectedDateTime"],
    "id": ["id"],
    "tenant_id": ["tenantId"],
    "workload": ["=AzureActiveDirectory"],
    "operation": ["riskEventType"],
    "record_type": ["=RiskDetection"],
    "result": ["riskState"],
    "user_id": ["userPrincipalName", "userId"],
    "object_id": ["userId"],
    "user_agent": ["additionalInfo.userAgent"],
    "client_ip": ["ipAddress"],
}
SNAPSHOT = {
    "time": ["snapshot.taken"],
    "id": ["id"],
    "tenant_id": ["snapshot.tenantId"],
    "workload": ["=AzureActiveDirectory"],
    "operation": ["=Snapshot"],
    "record_type": ["snapshot.kind"],
    "user_id": ["userPrincipalName"],
    "user_type": ["userType"],
    "object_id": ["id"],
    "app_id": ["appId"],
}
OTHER = {"time": ["time", "timestamp", "createdDateTime"], "id": ["id", "Id"]}


def diagnostic(feed, envelope):
    """The lists of a Graph feed inside `properties`, then what the diagnostic envelope adds."""
    lists = {}
    for column, paths in feed.items():
        constants = [path for path in paths if path.startswith("=")]
        inside = ["properties." + path for path in paths if not path.startswith("=")]
        lists[column] = inside + envelope.get(column, []) + constants
    return lists


ENVELOPE = {
    "tenant_id": ["tenantId"],
    "client_ip": ["callerIpAddress"],
    "operation": ["operationName"],
    "record_type": ["category"],
    "user_id": ["identity"],
}


def feed_of(names):
    """Which feed a record is of, told by the printed paths it has; `names` holds their top too."""

    def has(*wanted):
        return all(name in names for name in wanted)

    if has("CreationTime", "Operation"):
        return UNIFIED
    if has("actionId", "timestamp"):
        return DEVOPS
    if has("activityDateTime", "activityDisplayName"):
        return AUDIT
    if has("activityDateTime", "provisioningAction"):
        return PROVISIONING
    if has("detectedDateTime", "riskEventType"):
        return RISK_DETECTION
    if has("EventTimestamp", "OperationName"):
        return AZURE_POWERSHELL
    if has("LastAccessed", "Operation"):
        return MAILBOX_AUDIT
    if has("eventTimestamp"):
        return AZURE_REST
    if has("time", "properties.createdDateTime"):
        return diagnostic(SIGNIN, ENVELOPE)
    if has("time", "properties.activityDateTime"):
        return diagnostic(AUDIT, ENVELOPE)
    if has("time", "category"):
        return AZURE_DIAGNOSTIC
    if has("receivedDateTime", "recipientAddress") or has("Received", "RecipientAddress"):
        return MESSAGE_TRACE
    if has("snapshot.kind"):
        return SNAPSHOT
    if has("createdDateTime") and (has("status") or has("appId") or has("ipAddress")):
        return SIGNIN
    return OTHER


COLUMNS = ["time", "id", "tenant_id", "workload", "operation", "record_type", "result", "user_id",
           "user_type", "object_id", "app_id", "user_agent", "client_ip", "client_port"]
