//! What must stay the same when a run is continued. The pool keeps these facts in the output folder's manifest and, the
//! same, in the broker; any difference is refused with both named (B9). Workers and producers may change.

use anyhow::Context as _;
use lockstep_emr_sim::manifest::Header;
use serde::{Deserialize, Serialize};

use crate::{exit::Usage, pipeline::input::Mapping};

/// The pipeline's own facts; queue, generation, job and the output's id stand beside them in the header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunFacts {
    /// SHA-256 of the uncompressed input.
    pub(crate) input_digest: String,
    pub(crate) group_by: String,
    pub(crate) id_by: String,
    pub(crate) skip_bad: bool,
    /// Lines that the job cannot use were never sent. Where poison is set aside they are, to be met there.
    #[serde(default = "usual", skip_serializing_if = "is_usual")]
    pub(crate) checked: bool,
}

fn usual() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_usual(checked: &bool) -> bool {
    *checked
}

impl RunFacts {
    /// Reads the facts of a published output.
    pub(crate) fn from_header(header: &Header) -> anyhow::Result<Self> {
        serde_json::from_value(header.run.clone()).context("the manifest is not that of a pipeline")
    }

    /// How lines became messages.
    pub(crate) fn mapping(&self) -> anyhow::Result<Mapping> {
        Ok(Mapping { group_by: self.group_by.parse().map_err(Usage)?, id_by: self.id_by.parse().map_err(Usage)? })
    }
}
