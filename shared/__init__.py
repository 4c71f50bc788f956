"""What the API and the workers both speak: settings, jobs, the ledger, storage and the queue."""
