"""What could not be written to the database: kept on the local disk, sealed and synced, until it is back."""
