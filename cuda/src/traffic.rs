//! What is copied between the host and a GPU, counted: a step that should stay on the device can be held to it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Copies so far, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Copies to the GPU.
    pub uploads: u64,
    /// Their bytes.
    pub uploaded: u64,
    /// Copies from the GPU; the host waits for each.
    pub downloads: u64,
    /// Their bytes.
    pub downloaded: u64,
}

impl Traffic {
    /// What came since an `earlier` count.
    ///
    /// ```
    /// use nearfar_cuda::Traffic;
    /// let earlier = Traffic { uploads: 2, uploaded: 100, ..Traffic::default() };
    /// let now = Traffic { uploads: 3, uploaded: 112, downloads: 1, downloaded: 4 };
    /// assert_eq!(now.since(earlier), Traffic { uploads: 1, uploaded: 12, downloads: 1, downloaded: 4 });
    /// ```
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            uploads: self.uploads - earlier.uploads,
            uploaded: self.uploaded - earlier.uploaded,
            downloads: self.downloads - earlier.downloads,
            downloaded: self.downloaded - earlier.downloaded,
        }
    }
}

/// The running count.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    uploads: AtomicU64,
    uploaded: AtomicU64,
    downloads: AtomicU64,
    downloaded: AtomicU64,
}

impl Meter {
    pub(crate) fn upload(&self, bytes: usize) {
        self.uploads.fetch_add(1, Relaxed);
        self.uploaded.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn download(&self, bytes: usize) {
        self.downloads.fetch_add(1, Relaxed);
        self.downloaded.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            uploads: self.uploads.load(Relaxed),
            uploaded: self.uploaded.load(Relaxed),
            downloads: self.downloads.load(Relaxed),
            downloaded: self.downloaded.load(Relaxed),
        }
    }
}
