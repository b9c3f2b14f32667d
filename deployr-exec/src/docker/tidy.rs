//! What a deployr that died has left on the engine.

use deployr_core::error::StepResult;

use super::DockerExecutor;
use super::logins::Logins;
use crate::local::blocking;

impl DockerExecutor {
    /// Removes the containers and images of this deployr that belong to no release which is
    /// placed, and says how many that were. To be called when deployr starts, before its
    /// workers do: they look no different while they are being made.
    ///
    /// # Errors
    ///
    /// A fault when one could not be removed.
    pub async fn remove_stale(&self) -> StepResult<usize> {
        Logins::remove_stale(&self.root)?;
        let instance = self.instance().await?;
        let mut removed = 0;
        for container in self.containers(&instance, None).await? {
            let layout = self.layout(&container.slug);
            let placed = blocking(move || layout.numbers()).await?;
            if !placed.contains(&container.number) {
                self.client().remove_container(&container.id).await?;
                removed += 1;
            }
        }
        for (slug, number) in self.images(&instance, None).await? {
            let layout = self.layout(&slug);
            let placed = blocking(move || layout.numbers()).await?;
            if !placed.contains(&number) {
                self.client()
                    .remove_image(&instance.image(&slug, number))
                    .await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
