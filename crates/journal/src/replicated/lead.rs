//! Taking a partition over and giving it up, apart from what is appended: it takes its time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::batch::LeaderId;
use super::group::Group;

impl Group {
    /// Follows Raft's word on who leads, as long as the node lives.
    pub(crate) async fn follow_lead(self: Arc<Self>) {
        let mut leader_before = None;
        loop {
            self.mind_journal();
            let (current, due) = (self.lead(), self.due_lead());
            if current != due {
                if let Some(lead) = current {
                    self.give_up(lead);
                }
                if let Some(lead) = due {
                    self.take_over(lead).await;
                }
            }
            let leader = self.look(|raft| raft.leader());
            if leader != leader_before && leader.is_some() {
                self.machine.leader_changed(self.partition);
            }
            leader_before = leader;
            self.lead_changed.notified().await;
        }
    }

    /// Leads: everything that was acknowledged before is applied.
    async fn take_over(self: &Arc<Self>, lead: LeaderId) {
        tracing::info!(partition = %self.partition, %lead, "leads");
        *self.lead.lock() = Some(lead);
        // Without the group, whose files must be free once this node has closed.
        let (machine, partition) = (Arc::clone(&self.machine), self.partition);
        let told = self
            .log
            .threads()
            .run(move || machine.lead(partition, lead));
        if told.await.is_err() {
            tracing::error!(partition = %self.partition, "the machine failed to take over");
        }
        // Given up meanwhile, because the lead is being moved: that word may have come first.
        if self.lead() != Some(lead) {
            self.machine.follow(self.partition);
        }
    }

    /// Gives the lead up at once, and does not take it again before it is unsealed.
    pub(crate) fn seal(&self, sealed: bool) {
        self.sealed.store(sealed, Ordering::SeqCst);
        if sealed && let Some(lead) = self.lead() {
            self.give_up(lead);
        }
        // Whoever still leads after all begins anew, behind an entry of its own.
        self.act(|core| core.lead_after = None);
    }

    /// Gives up for good: the node closes.
    pub(crate) fn close(&self) {
        if let Some(lead) = self.lead() {
            self.give_up(lead);
        }
        self.act(|core| core.raft.halt("the node closes"));
    }
}
