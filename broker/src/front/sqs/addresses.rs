//! Names of queues as AWS writes them: queue URLs and ARNs (P6, P7). A queue is looked up by its name alone: host and
//! account of a URL, partition, region and account of an ARN are taken as they come, and given back as the caller's.

use lockstep_engine::{command::QueueRef, words::QueueName};

use super::{caller::Caller, errors::SqsError};

/// Whether a path is that of a queue's URL: an account of 12 digits and one name.
pub(super) fn is_queue_path(path: &str) -> bool {
    queue_of_path(path).is_some()
}

/// The name in the path of a queue's URL.
pub(super) fn queue_of_path(path: &str) -> Option<&str> {
    let (account, name) = path.strip_prefix('/')?.split_once('/')?;
    let name = name.strip_suffix('/').unwrap_or(name);
    (is_account(account) && !name.is_empty() && !name.contains('/')).then_some(name)
}

/// An account id: 12 digits.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Caller {
    /// The queue that a request means: that of its `QueueUrl`, whatever the host in it, or else that of the path.
    pub(super) fn queue(&self, url: Option<&str>) -> Result<QueueRef, SqsError> {
        let url = url.filter(|url| !url.is_empty()).or(self.path_queue.as_deref());
        let url = url.ok_or_else(|| SqsError::missing("QueueUrl"))?;
        // A bare name is its own last segment.
        let name = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let name = QueueName::parse(name).map_err(|_| SqsError::no_queue())?;
        Ok(QueueRef { name, generation: None })
    }

    /// The URL of a queue at the host that the caller named: several SDKs go to the URL's host (P6).
    pub(super) fn queue_url(&self, name: &QueueName, account: Option<&str>) -> String {
        let account = account.filter(|account| is_account(account)).unwrap_or(&self.account);
        format!("{}://{}/{account}/{name}", self.scheme, self.host)
    }

    /// The ARN of a queue.
    pub(super) fn arn(&self, name: &QueueName) -> String {
        format!("arn:aws:sqs:{}:{}:{name}", self.region, self.account)
    }
}

/// The queue's name in an ARN, `arn:PARTITION:sqs:REGION:ACCOUNT:NAME`.
pub(super) fn name_of_arn(arn: &str) -> Option<QueueName> {
    let mut parts = arn.split(':');
    let head = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let name = parts.next()?;
    let is_arn = head.0 == "arn" && head.2 == "sqs" && parts.next().is_none();
    is_arn.then(|| QueueName::parse(name).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::sqs::errors::Code;

    #[test]
    fn p6_a_queue_is_found_by_the_last_part_of_its_url_alone() {
        let caller = Caller::of("123456789012", "eu-west-1", "broker:9324");
        for url in ["http://else:1/000000000000/q.fifo", "q.fifo", "https://x/1/q.fifo/", "/queue/q.fifo"] {
            assert_eq!(caller.queue(Some(url)).expect("a queue").name.as_str(), "q.fifo", "{url}");
        }
        assert_eq!(caller.queue(None).expect_err("none").code, Code::MissingParameter);
        assert_eq!(caller.queue(Some("http://x/no name")).expect_err("none").code, Code::QueueDoesNotExist);
        let name = QueueName::parse("q.fifo").expect("a name");
        assert_eq!(caller.queue_url(&name, None), "http://broker:9324/123456789012/q.fifo");
        assert_eq!(caller.arn(&name), "arn:aws:sqs:eu-west-1:123456789012:q.fifo");
        assert_eq!(name_of_arn("arn:aws-cn:sqs:r:1:q.fifo"), Some(name));
        for bad in ["q.fifo", "arn:aws:sns:r:1:q.fifo", "arn:aws:sqs:r:1:q.fifo:x", "arn:aws:sqs:r:1:", ""] {
            assert_eq!(name_of_arn(bad), None, "{bad}");
        }
        for (path, is) in
            [("/000000000000/q", true), ("/lockstep.v1.Queues/List", false), ("/1/q", false), ("/", false)]
        {
            assert_eq!(is_queue_path(path), is, "{path}");
        }
    }
}
