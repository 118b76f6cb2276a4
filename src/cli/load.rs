//! From a manifest file to everything that can be known without root: the manifest, its bundles, a plan for each container.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bundle;
use crate::manifest::check::MOST;
use crate::manifest::{self, Manifest, Problem};
use crate::pod::start::Bundle;

/// A manifest with its bundles.
pub struct Loaded {
    /// The manifest.
    pub manifest: Manifest,
    /// One bundle for each container.
    pub bundles: Vec<Bundle>,
    /// What the manifest was read from.
    pub text: String,
    /// How that is called.
    pub shown: String,
}

/// Longest manifest or config.json that is read, in bytes.
const LONGEST: u64 = 4 << 20;

/// Reads and checks `file` (`-` is standard input). Problems and warnings are printed to stderr; `None` = there were
/// problems.
pub fn load(file: &Path, search: &[PathBuf]) -> Result<Option<Loaded>> {
    let (text, shown, directory) = match read(file) {
        Ok(manifest) => manifest,
        Err(error) => {
            super::say(&format!("barepod: {error:#}"));
            return Ok(None);
        }
    };
    let mut manifest = match manifest::load(&text) {
        Ok(manifest) => manifest,
        Err(problems) => {
            problems.iter().for_each(|problem| super::say(&problem.render(&shown, &text)));
            return Ok(None);
        }
    };
    manifest.warnings.iter().for_each(|warning| super::say(&warning.render(&shown, &text)));
    let search = search_path(search);
    let mut problems = Vec::new();
    let mut bundles: Vec<Bundle> = Vec::new();
    // Where in `bundles` an image stands that several containers have.
    let mut known: HashMap<String, usize> = HashMap::new();
    for container in &mut manifest.pod.containers {
        let image = &container.image;
        let found = match known.get(&image.value) {
            Some(&index) => Ok(bundles[index].clone()),
            None => find(&image.value, &directory, &search),
        };
        match found {
            Ok(bundle) => {
                known.entry(image.value.clone()).or_insert(bundles.len());
                container.stop_signal = container.stop_signal.or_else(|| stop_signal(&bundle));
                bundles.push(bundle);
            }
            Err(Bad::Image(message)) => {
                problems.push(Problem::error(image.line, image.column, message).render(&shown, &text));
            }
            Err(Bad::Config { shown, text, problem }) => problems.push(problem.render(&shown, &text)),
        }
        problems.dedup(); // two containers of one broken bundle
        if problems.len() == MOST {
            break;
        }
    }
    problems.iter().for_each(|problem| super::say(problem));
    Ok(problems.is_empty().then_some(Loaded { manifest, bundles, text, shown }))
}

fn read(file: &Path) -> Result<(String, String, PathBuf)> {
    let mut bytes = Vec::new();
    let (shown, directory) = if file == Path::new("-") {
        std::io::stdin().take(LONGEST).read_to_end(&mut bytes).context("read standard input")?;
        ("<stdin>".to_owned(), std::env::current_dir().context("find current directory")?)
    } else {
        let open = std::fs::File::open(file).with_context(|| format!("open {}", file.display()))?;
        open.take(LONGEST).read_to_end(&mut bytes).with_context(|| format!("read {}", file.display()))?;
        let absolute = std::path::absolute(file).context("find manifest")?;
        (file.display().to_string(), absolute.parent().unwrap_or(Path::new("/")).to_path_buf())
    };
    // What is not UTF-8 shows as U+FFFD, which the parser refuses where it stands.
    Ok((String::from_utf8_lossy(&bytes).into_owned(), shown, directory))
}

/// `--bundles`, then `BAREPOD_BUNDLES`, then the default.
pub fn search_path(given: &[PathBuf]) -> Vec<PathBuf> {
    let environment = std::env::var_os("BAREPOD_BUNDLES").unwrap_or_default();
    let environment = std::env::split_paths(&environment).filter(|path| !path.as_os_str().is_empty());
    given.iter().cloned().chain(environment).chain([PathBuf::from("/var/lib/barepod/bundles")]).collect()
}

/// STOPSIGNAL of the image (R70), where unpackers of images leave it; something that is no signal is none.
fn stop_signal(bundle: &Bundle) -> Option<i32> {
    let annotations = bundle.spec.annotations().as_ref()?;
    super::kill::signal(annotations.get("org.opencontainers.image.stopSignal")?).ok()
}

/// Why there is no bundle.
pub enum Bad {
    /// What is wrong with the image's name, or with what was found.
    Image(String),
    /// What is wrong with its `config.json`.
    Config {
        /// How that is called.
        shown: String,
        /// What is in it.
        text: String,
        /// The problem.
        problem: Problem,
    },
}

/// Finds and reads the bundle of an image; paths are taken from `directory`.
pub fn find(image: &str, directory: &Path, search: &[PathBuf]) -> Result<Bundle, Bad> {
    let candidates =
        bundle::candidates(image, directory, search).map_err(|error| Bad::Image(format!("{error:#}")))?;
    let Some(path) = candidates.iter().find(|path| path.join("config.json").is_file()) else {
        let looked: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
        return Err(Bad::Image(format!(
            "no bundle for image {image:?}; looked for config.json in {}; make one with: skopeo copy docker://IMAGE oci:DIR:TAG, \
             then umoci unpack --image DIR:TAG BUNDLE",
            looked.join(", ")
        )));
    };
    let path = std::fs::canonicalize(path)
        .map_err(|error| Bad::Image(format!("open bundle {}: {error}", path.display())))?;
    let config = path.join("config.json");
    let shown = config.display().to_string();
    let text = std::fs::read(&config).map_err(|error| Bad::Image(format!("read {shown}: {error}")))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let bad = |problem| Bad::Config { shown: shown.clone(), text: text.clone(), problem };
    let spec = bundle::parse_config(&text).map_err(bad)?;
    bundle::check(&spec).map_err(|error| bad(Problem::error(1, 1, format!("{error:#}"))))?;
    let rootfs = path.join(spec.root().as_ref().map_or(Path::new("rootfs"), |root| root.path()));
    if !rootfs.is_dir() {
        return Err(Bad::Image(format!(
            "bundle {} has no rootfs directory {}",
            path.display(),
            rootfs.display()
        )));
    }
    Ok(Bundle { path, spec })
}
