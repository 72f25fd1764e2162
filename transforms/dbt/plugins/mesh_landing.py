"""Attaches the landing file read-only, and waits while the warehouse-sink writes it (DuckDB files belong to one process at a time)."""

import time

from dbt.adapters.duckdb.plugins import BasePlugin

RETRY_SECONDS = 0.01


class Plugin(BasePlugin):
    def initialize(self, plugin_config):
        self.path = plugin_config["path"].replace("'", "''")
        self.alias = plugin_config["alias"]
        self.wait_seconds = float(plugin_config["wait_seconds"])

    def configure_connection(self, conn):
        deadline = time.monotonic() + self.wait_seconds
        while True:
            try:
                conn.execute(f"ATTACH IF NOT EXISTS '{self.path}' AS {self.alias} (READ_ONLY)")
                return
            except Exception as error:  # duckdb has no class of its own for a lock
                if "Could not set lock" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(RETRY_SECONDS)
