//! Which fields of which feed fill which column of the lake's table.
//!
//! This is data: Microsoft names the same thing differently in each API, and this page is where that is written down.
//! A feed is told by names that stand in a record. A column takes the first path of its list that holds something (no
//! null, no empty string, no object), `time` and `client_ip` the first that reads as a time or an address; `=text` is a
//! constant. Paths are printed names as `flatten` makes them.

/// The columns of the common schema that come from paths, in the order of [`Paths`].
pub(crate) const TEXT_COLUMNS: usize = 11;

/// For each column, where a feed has it.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) time: &'static [&'static str],
    pub(super) id: &'static [&'static str],
    pub(super) tenant_id: &'static [&'static str],
    pub(super) workload: &'static [&'static str],
    pub(super) operation: &'static [&'static str],
    pub(super) record_type: &'static [&'static str],
    pub(super) result: &'static [&'static str],
    pub(super) user_id: &'static [&'static str],
    pub(super) user_type: &'static [&'static str],
    pub(super) object_id: &'static [&'static str],
    pub(super) app_id: &'static [&'static str],
    pub(super) user_agent: &'static [&'static str],
    pub(super) client_ip: &'static [&'static str],
}

impl Paths {
    /// The lists of the columns that take the text as it is, in the order of the table.
    pub(super) fn texts(&self) -> [&'static [&'static str]; TEXT_COLUMNS] {
        [
            self.id,
            self.tenant_id,
            self.workload,
            self.operation,
            self.record_type,
            self.result,
            self.user_id,
            self.user_type,
            self.object_id,
            self.app_id,
            self.user_agent,
        ]
    }
}

/// A kind of records.
#[derive(Debug)]
pub(super) struct Feed {
    /// It is this feed if all names of one of these lists stand in the record.
    pub(super) told_by: &'static [&'static [&'static str]],
    pub(super) paths: Paths,
}

const UPN_CLAIM: &str = "identity.claims[http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn]";

/// All feeds; the first that fits a record is its own. The last, `other`, fits every record.
pub(super) const FEEDS: &[Feed] = &[
    // `unified_audit`: the same records from the Management Activity API, Search-UnifiedAuditLog, Purview exports and
    // auditLogQuery.
    Feed {
        told_by: &[&["CreationTime", "Operation"]],
        paths: Paths {
            time: &["CreationTime"],
            id: &["Id"],
            tenant_id: &["OrganizationId"],
            workload: &["Workload"],
            operation: &["Operation"],
            record_type: &["RecordType"],
            // Microsoft's word: `True`, `Success` and `Succeeded` mean the same, and a failed logon says `Success`.
            result: &["ResultStatus"],
            user_id: &["UserId"],
            user_type: &["UserType"],
            object_id: &["ObjectId"],
            app_id: &["ApplicationId", "AppId", "ClientAppId", "AppAccessContext.ClientAppId"],
            user_agent: &[
                "UserAgent",
                "ExtendedProperties.UserAgent",
                "ExtendedProperties.additionalDetails.User-Agent",
                "ClientInfoString",
                "ActorInfoString",
            ],
            client_ip: &["ClientIP", "ClientIPAddress", "ActorIpAddress", "ActorIP", "UserIp", "SenderIp"],
        },
    },
    // `azure_devops`
    Feed {
        told_by: &[&["actionId", "timestamp"]],
        paths: Paths {
            time: &["timestamp"],
            id: &["id"],
            tenant_id: &[],
            workload: &["=AzureDevOps"],
            operation: &["actionId"],
            record_type: &["area"],
            result: &[],
            user_id: &["actorUPN", "actorUserId"],
            user_type: &[],
            object_id: &["projectId"],
            app_id: &["actorClientId"],
            user_agent: &["userAgent"],
            client_ip: &["ipAddress"],
        },
    },
    // `entra_audits`
    Feed {
        told_by: &[&["activityDateTime", "activityDisplayName"]],
        paths: Paths {
            time: &["activityDateTime"],
            id: &["id"],
            tenant_id: &["tenantId"],
            workload: &["=AzureActiveDirectory"],
            operation: &["activityDisplayName"],
            record_type: &["category"],
            result: &["result"],
            user_id: &[
                "initiatedBy.user.userPrincipalName",
                "initiatedBy.user.id",
                "initiatedBy.app.servicePrincipalId",
                "initiatedBy.app.displayName",
            ],
            user_type: &["initiatedBy.user.userType"],
            object_id: &["targetResources.id"],
            app_id: &["initiatedBy.app.appId"],
            user_agent: &["additionalDetails.User-Agent"],
            client_ip: &["initiatedBy.user.ipAddress"],
        },
    },
    // `entra_provisioning`
    Feed {
        told_by: &[&["activityDateTime", "provisioningAction"]],
        paths: Paths {
            time: &["activityDateTime"],
            id: &["id"],
            tenant_id: &["tenantId"],
            workload: &["=AzureActiveDirectory"],
            operation: &["provisioningAction"],
            record_type: &["=Provisioning"],
            result: &["provisioningStatusInfo.status"],
            user_id: &["initiatedBy.id", "initiatedBy.displayName"],
            user_type: &[],
            object_id: &["targetIdentity.id", "sourceIdentity.id"],
            app_id: &["servicePrincipal.id"],
            user_agent: &[],
            client_ip: &[],
        },
    },
    // `risk_detections`
    Feed {
        told_by: &[&["detectedDateTime", "riskEventType"]],
        paths: Paths {
            time: &["activityDateTime", "detectedDateTime"],
            id: &["id"],
            tenant_id: &["tenantId"],
            workload: &["=AzureActiveDirectory"],
            operation: &["riskEventType"],
            record_type: &["=RiskDetection"],
            result: &["riskState"],
            user_id: &["userPrincipalName", "userId"],
            user_type: &[],
            object_id: &["userId"],
            app_id: &[],
            user_agent: &["additionalInfo.userAgent"],
            client_ip: &["ipAddress"],
        },
    },
    // `azure_activity_ps`: Az.Monitor's PSEventData, as DFIR-O365RC saves it.
    Feed {
        told_by: &[&["EventTimestamp", "OperationName"]],
        paths: Paths {
            time: &["EventTimestamp"],
            id: &["EventDataId"],
            tenant_id: &["TenantId", "Claims.Content[http://schemas.microsoft.com/identity/claims/tenantid]"],
            workload: &["=Azure"],
            operation: &["OperationName"],
            record_type: &["Category"],
            result: &["Status"],
            user_id: &["Caller"],
            user_type: &["Claims.Content.idtyp"],
            object_id: &["ResourceId"],
            app_id: &["Claims.Content.appid"],
            user_agent: &[],
            client_ip: &["HttpRequest.ClientIpAddress", "Claims.Content.ipaddr"],
        },
    },
    // `mailbox_audit`: Search-MailboxAuditLog.
    Feed {
        told_by: &[&["LastAccessed", "Operation"]],
        paths: Paths {
            time: &["LastAccessed"],
            id: &["Identity"],
            tenant_id: &[],
            workload: &["=Exchange"],
            operation: &["Operation"],
            record_type: &["=MailboxAudit"],
            result: &["OperationResult"],
            user_id: &["LogonUserDisplayName", "LogonUserSid"],
            user_type: &["LogonType"],
            object_id: &["MailboxOwnerUPN", "MailboxResolvedOwnerName"],
            app_id: &["AppId", "ClientAppId"],
            user_agent: &["ClientInfoString"],
            client_ip: &["ClientIPAddress", "ClientIP"],
        },
    },
    // `azure_activity_rest`
    Feed {
        told_by: &[&["eventTimestamp"]],
        paths: Paths {
            time: &["eventTimestamp"],
            id: &["eventDataId", "id"],
            tenant_id: &["tenantId", "claims[http://schemas.microsoft.com/identity/claims/tenantid]"],
            workload: &["=Azure"],
            operation: &["operationName.value", "operationName"],
            record_type: &["category.value", "category"],
            result: &["status.value", "status"],
            user_id: &["caller"],
            user_type: &["claims.idtyp"],
            object_id: &["resourceId"],
            app_id: &["claims.appid"],
            user_agent: &[],
            client_ip: &["httpRequest.clientIpAddress", "claims.ipaddr"],
        },
    },
    // `diagnostic_signin`: sign-ins through an Event Hub or a storage account; the envelope's `time` is when they were
    // taken in.
    Feed {
        told_by: &[&["time", "properties.createdDateTime"]],
        paths: Paths {
            time: &["properties.createdDateTime"],
            id: &["properties.id"],
            tenant_id: &["properties.resourceTenantId", "properties.homeTenantId", "properties.tenantId", "tenantId"],
            workload: &["=AzureActiveDirectory"],
            operation: &["operationName", "=Sign-in activity"],
            record_type: &["properties.signInEventTypes", "category", "=signIn"],
            result: &["properties.status.errorCode"],
            user_id: &[
                "properties.userPrincipalName",
                "properties.userId",
                "properties.servicePrincipalId",
                "identity",
            ],
            user_type: &["properties.userType"],
            object_id: &["properties.resourceId"],
            app_id: &["properties.appId"],
            user_agent: &["properties.userAgent"],
            client_ip: &["properties.ipAddress", "callerIpAddress"],
        },
    },
    // `diagnostic_audit`
    Feed {
        told_by: &[&["time", "properties.activityDateTime"]],
        paths: Paths {
            time: &["properties.activityDateTime"],
            id: &["properties.id"],
            tenant_id: &["properties.tenantId", "tenantId"],
            workload: &["=AzureActiveDirectory"],
            operation: &["properties.activityDisplayName", "operationName"],
            record_type: &["properties.category", "category"],
            result: &["properties.result"],
            user_id: &[
                "properties.initiatedBy.user.userPrincipalName",
                "properties.initiatedBy.user.id",
                "properties.initiatedBy.app.servicePrincipalId",
                "properties.initiatedBy.app.displayName",
                "identity",
            ],
            user_type: &["properties.initiatedBy.user.userType"],
            object_id: &["properties.targetResources.id"],
            app_id: &["properties.initiatedBy.app.appId"],
            user_agent: &["properties.additionalDetails.User-Agent"],
            client_ip: &["properties.initiatedBy.user.ipAddress", "callerIpAddress"],
        },
    },
    // `azure_diagnostic`: the Activity Log and resource logs, through an Event Hub or a storage account.
    Feed {
        told_by: &[&["time", "category"]],
        paths: Paths {
            time: &["time"],
            id: &["properties.eventDataId", "eventDataId"],
            tenant_id: &["tenantId", "identity.claims[http://schemas.microsoft.com/identity/claims/tenantid]"],
            workload: &["=Azure"],
            operation: &["operationName"],
            record_type: &["category"],
            result: &["resultType"],
            user_id: &[UPN_CLAIM, "identity.claims.appid", "identity"],
            user_type: &["identity.claims.idtyp"],
            object_id: &["resourceId"],
            app_id: &["identity.claims.appid"],
            user_agent: &[],
            client_ip: &["callerIpAddress", "identity.claims.ipaddr"],
        },
    },
    // `message_trace`: Graph's names and PowerShell's.
    Feed {
        told_by: &[&["receivedDateTime", "recipientAddress"], &["Received", "RecipientAddress"]],
        paths: Paths {
            time: &["receivedDateTime", "Received"],
            id: &["id", "MessageTraceId"],
            tenant_id: &["Organization"],
            workload: &["=Exchange"],
            operation: &["=MessageTrace"],
            record_type: &["=MessageTrace"],
            result: &["status", "Status"],
            user_id: &["senderAddress", "SenderAddress"],
            user_type: &[],
            object_id: &["messageId", "MessageId"],
            app_id: &[],
            user_agent: &[],
            client_ip: &["fromIP", "FromIP"],
        },
    },
    // `entra_snapshot`
    Feed {
        told_by: &[&["snapshot.kind"]],
        paths: Paths {
            time: &["snapshot.taken"],
            id: &["id"],
            tenant_id: &["snapshot.tenantId"],
            workload: &["=AzureActiveDirectory"],
            operation: &["=Snapshot"],
            record_type: &["snapshot.kind"],
            result: &[],
            user_id: &["userPrincipalName"],
            user_type: &["userType"],
            object_id: &["id"],
            app_id: &["appId"],
            user_agent: &[],
            client_ip: &[],
        },
    },
    // `entra_signins`
    Feed {
        told_by: &[&["createdDateTime", "status"], &["createdDateTime", "appId"], &["createdDateTime", "ipAddress"]],
        paths: Paths {
            time: &["createdDateTime"],
            id: &["id"],
            tenant_id: &["resourceTenantId", "homeTenantId", "tenantId"],
            workload: &["=AzureActiveDirectory"],
            operation: &["=Sign-in activity"],
            record_type: &["signInEventTypes", "=signIn"],
            result: &["status.errorCode"],
            user_id: &["userPrincipalName", "userId", "servicePrincipalId"],
            user_type: &["userType"],
            object_id: &["resourceId"],
            app_id: &["appId"],
            user_agent: &["userAgent"],
            client_ip: &["ipAddress"],
        },
    },
    // `other`: its time is where any of the feeds above has one, in their order.
    Feed {
        told_by: &[&[]],
        paths: Paths {
            time: &[],
            id: &["id", "Id"],
            tenant_id: &[],
            workload: &[],
            operation: &[],
            record_type: &[],
            result: &[],
            user_id: &[],
            user_type: &[],
            object_id: &[],
            app_id: &[],
            user_agent: &[],
            client_ip: &[],
        },
    },
];
