//! The service Groups: parking (B7).

use std::time::Duration;

use lockstep_proto::v1;

use crate::{Client, Error, retry::Repeat};

const NO_WAIT: Duration = Duration::ZERO;

impl Client {
    /// Parks a group: it delivers nothing until it is unparked; false when it was parked before, maybe by an earlier try
    /// of this call. Harmless to repeat.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such queue, or it has 10,000 parked groups.
    pub async fn park(&self, queue: &str, group: &str) -> Result<bool, Error> {
        let request = v1::ParkRequest { queue: queue.to_owned(), message_group_id: group.to_owned() };
        let call = || {
            let (mut rpc, request) = (self.groups(), request.clone());
            async move { rpc.park(request).await }
        };
        Ok(!self.call(Repeat::Always, NO_WAIT, call).await?.already_parked)
    }

    /// Lets a parked group deliver again; false when it was not parked, maybe because of an earlier try of this call.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such queue.
    pub async fn unpark(&self, queue: &str, group: &str) -> Result<bool, Error> {
        let message_group_id = group.to_owned();
        let request = v1::UnparkRequest { queue: queue.to_owned(), message_group_id, all: false };
        Ok(self.unpark_some(request).await?.groups > 0)
    }

    /// Lets every parked group deliver again, 1,000 at a time; how many there were.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such queue.
    pub async fn unpark_all(&self, queue: &str) -> Result<u64, Error> {
        let request = v1::UnparkRequest { queue: queue.to_owned(), message_group_id: String::new(), all: true };
        let mut groups = 0;
        loop {
            let answer = self.unpark_some(request.clone()).await?;
            groups += answer.groups;
            if !answer.more {
                return Ok(groups);
            }
        }
    }

    async fn unpark_some(&self, request: v1::UnparkRequest) -> Result<v1::UnparkResponse, Error> {
        let call = || {
            let (mut rpc, request) = (self.groups(), request.clone());
            async move { rpc.unpark(request).await }
        };
        self.call(Repeat::Always, NO_WAIT, call).await
    }

    /// Every parked group, in the order of names. Only reads, so it is repeated freely.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such queue; [`Error::Protocol`] when the pages do not advance.
    pub async fn list_parked_groups(&self, queue: &str) -> Result<Vec<v1::ParkedGroup>, Error> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let request = v1::ListParkedGroupsRequest { queue: queue.to_owned(), max_results: 0, after };
            let call = || {
                let (mut rpc, request) = (self.groups(), request.clone());
                async move { rpc.list_parked_groups(request).await }
            };
            let page = self.call(Repeat::Always, NO_WAIT, call).await?;
            all.extend(page.groups);
            if page.next.is_empty() {
                return Ok(all);
            }
            if page.next <= request.after {
                return Err(Error::Protocol(format!("the page after {:?} ends at {:?}", request.after, page.next)));
            }
            after = page.next;
        }
    }
}
