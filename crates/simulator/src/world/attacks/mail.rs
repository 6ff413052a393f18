//! What attackers do with mailboxes.

use super::Stage;

pub(super) fn inbox_rule(stage: &mut Stage<'_>) -> String {
    let victim = stage.worker();
    let outside = &stage.intruder.mailbox.address;
    stage.target(&victim.upn);
    stage.target(outside);
    stage.enter(victim);
    // The cmdlet, and what the mailbox saw of it.
    for label in ["exchange/rule_forward", "mailbox_item/forward"] {
        stage.act(label, victim, |scene| scene.with("forward", outside.as_str()).with("rule", ".."));
        stage.wait(1, 5);
    }
    stage.act("alert/Creation of forwarding/redirect rule", victim, |scene| scene);
    stage.act("risk/inbox", victim, |scene| scene);
    stage.wait(60, 600);
    // Forwarding of the whole mailbox as well, in case the rule is found.
    stage.act("exchange/forward", victim, |mut scene| {
        scene.target = victim;
        scene.with("forward", outside.as_str())
    });
    for _ in 0..10 {
        stage.wait(200, 900);
        stage.act("mail/Send", victim, |mut scene| {
            scene.recipients = vec![outside];
            scene.with("subject", "Fw: invoice")
        });
    }
    format!("{} forwards by an inbox rule and by the mailbox's own setting to {outside}", victim.upn)
}

pub(super) fn transport_rule(stage: &mut Stage<'_>) -> String {
    let admin = stage.administrator();
    let outside = &stage.intruder.mailbox.address;
    stage.target(&stage.tenant.domain.clone());
    stage.target(outside);
    stage.enter(admin);
    stage.act("exchange/Set-HostedOutboundSpamFilterPolicy", admin, |scene| scene.with("mode", "On"));
    stage.wait(30, 120);
    stage.act("exchange/copy", admin, |scene| scene.with("forward", outside.as_str()).with("rule", "Journal"));
    stage.act("alert/Creation of forwarding/redirect rule", admin, |scene| scene);
    for _ in 0..25 {
        stage.wait(60, 400);
        let sender = stage.worker();
        stage.act_at_work("mail/Send", sender, |mut scene| {
            // The row of the copy stands beside that of the mail.
            scene.recipients = vec![&scene.target.upn, outside];
            scene.with("subject", "Payment details")
        });
    }
    format!("{} makes a transport rule that blind-copies mails about payments to {outside}", admin.upn)
}

pub(super) fn delegation(stage: &mut Stage<'_>) -> String {
    let admin = stage.administrator();
    let reader = stage.worker();
    let victim = stage.other(reader);
    stage.target(&victim.upn);
    stage.actor(&reader.upn);
    stage.enter(admin);
    for label in ["exchange/Add-MailboxPermission", "exchange/Add-RecipientPermission"] {
        stage.act(label, admin, |mut scene| {
            scene.target = victim;
            scene.with("delegate", reader.place_in_forest.as_str())
        });
        stage.wait(5, 40);
    }
    stage.wait(300, 900);
    stage.enter(reader);
    let count = 150 + stage.rng.below(150);
    for _ in 0..count {
        stage.act("mailbox_read/delegate", reader, |mut scene| {
            scene.target = victim;
            scene
        });
        stage.wait(1, 25);
    }
    format!(
        "{} gives {} full access to the mailbox of {}, who reads it in {count} steps",
        admin.upn, reader.upn, victim.upn
    )
}

pub(super) fn delegate_deletion(stage: &mut Stage<'_>) -> String {
    let delegate = stage.worker();
    let victim = stage.other(delegate);
    stage.target(&victim.upn);
    stage.enter(delegate);
    let count = 60 + stage.rng.below(60);
    for step in 0..count {
        let label = ["SoftDelete", "MoveToDeletedItems", "HardDelete"][step * 3 / count];
        stage.act(&format!("mailbox_delegate/{label}"), delegate, |mut scene| {
            scene.target = victim;
            scene
        });
        stage.wait(1, 12);
    }
    format!("{} destroys the mails of {} as a delegate, in {count} steps", delegate.upn, victim.upn)
}

pub(super) fn bulk_mail(stage: &mut Stage<'_>) -> String {
    let sender = stage.worker();
    let tenant = stage.tenant;
    stage.target(&sender.upn);
    stage.enter(sender);
    let addresses: Vec<&str> =
        tenant.outsiders.iter().chain(&tenant.strangers).map(|outside| outside.address.as_str()).collect();
    let mails = 40 + stage.rng.below(30);
    for _ in 0..mails {
        let first = stage.rng.below(addresses.len());
        let mut recipients: Vec<&str> = Vec::new();
        for place in 0..20 {
            let address = addresses[(first + place) % addresses.len()];
            if !recipients.contains(&address) {
                recipients.push(address);
            }
        }
        stage.act("mail/Send", sender, |mut scene| {
            scene.recipients = recipients;
            scene.with("subject", "Outstanding payment")
        });
        stage.wait(2, 20);
    }
    stage.act("alert/Suspicious email sending patterns detected", sender, |scene| scene);
    stage.wait(30, 120);
    stage.act("alert/User restricted from sending email", sender, |scene| scene);
    format!("{} sends {mails} mails to 20 outside recipients each and is restricted", sender.upn)
}
