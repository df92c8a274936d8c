//! Letters as files: one a notice, under its key, so that a repeat is the same file.

use std::io::Write as _;
use std::path::Path;

use flashsale_core::notice::NoticeKey;

/// The longest name of a file that every file system takes.
const NAME_MAX: usize = 250;

pub(crate) struct Folder;

impl Folder {
    /// The name of a letter's file: the key, with `+` for what parts paths.
    pub(super) fn name(key: &NoticeKey) -> String {
        let name: String = key.as_str().replace(['/', '\\'], "+");
        let name = if name.len() + 4 > NAME_MAX {
            let hash = flashsale_core::id::ContentHash::over([name.as_bytes()]).0;
            format!("{}+{hash:016x}", &name[..NAME_MAX - 30])
        } else {
            name
        };
        // No letter is hidden.
        format!("{}.eml", if name.starts_with('.') { format!("+{name}") } else { name })
    }

    /// Writes a letter, whole or not at all.
    pub(super) async fn put(folder: &Path, key: &NoticeKey, bytes: Vec<u8>) -> std::io::Result<()> {
        let (folder, name) = (folder.to_owned(), Self::name(key));
        let write = move || {
            std::fs::create_dir_all(&folder)?;
            let half = folder.join(format!(".{name}.half"));
            let mut file = std::fs::File::create(&half)?;
            file.write_all(&bytes)?;
            std::fs::rename(half, folder.join(name))
        };
        tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other)?
    }
}
