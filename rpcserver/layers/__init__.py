"""The layers of the configuration: where they are found, how they are put together, and where each value comes from."""
