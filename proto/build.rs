//! Compiles the protobuf files with protox, so that no system `protoc` is needed.

use std::{env, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["lockstep/v1/lockstep.proto", "lockstep/emr/v1/emr.proto", "lockstep/storage/v1/storage.proto"];
    println!("cargo:rerun-if-changed=proto");
    let mut descriptors = protox::Compiler::new(["proto"])?;
    descriptors.include_source_info(true).include_imports(true).open_files(files)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    std::fs::write(out.join("lockstep.bin"), descriptors.encode_file_descriptor_set())?;
    let set = descriptors.file_descriptor_set();
    tonic_prost_build::configure().bytes(".").codec_path("crate::codec::ExactCodec").compile_fds(set)?;
    Ok(())
}
