"""What is owed: the engine, the ledger, the business processes and the documents they produce."""
