"""The common ground of the API and the workers: settings, jobs, the store, storage, the broker."""
