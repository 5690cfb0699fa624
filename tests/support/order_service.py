"""wirehub-order under test, with its database, and eyes on what it leaves there."""

import os
from pathlib import Path

from support.hub import ROOT
from support.service import Service, wait_until

SETTLE_SECONDS = 60.0
NAMES = {"espresso": 1, "filter": 2, "decaf": 3, "grinder": 4, "kettle": 5, "dripper": 6,
         "filters": 7, "cup": 8, "scale": 9, "gift": 10, "machine": 11}


def product(name):
    """The id of a product of services/order/seed.sql."""
    return f"01930000-0000-7000-8000-{NAMES[name]:012x}"


def binary_path():
    """Beside WIREHUB_BIN, else the sanitized build."""
    hub = Path(os.environ.get("WIREHUB_BIN", ROOT / "build/debug/bin/wirehub"))
    return hub.parent / "wirehub-order"


class OrderService(Service):
    """Ready, with the products of the seed, from the constructor on.  `options` as in its
    configuration."""

    def __init__(self, redis, postgres, database, options=None):
        self.postgres = postgres
        self.database = database
        super().__init__(redis, binary=binary_path(),
                         options={"testing.journal": None, **(options or {})},
                         env={"WIREHUB_ORDER_DATABASE_URL": postgres.url(database)})
        try:
            self.wait_ready()
            self.sql((ROOT / "services/order/seed.sql").read_text())
        except BaseException:
            self.process.kill()
            self.wait_exit()
            print("".join(self.lines))
            raise

    def sql(self, text):
        """Rows as lists of strings."""
        return self.postgres.sql(text, self.database)

    def stock(self, name):
        return int(self.sql(f"select stock from product where id = '{product(name)}'")[0][0])

    def set_stock(self, name, stock):
        self.sql(f"update product set stock = {stock} where id = '{product(name)}'")

    def step(self, order):
        return self.sql(f"select step from saga where order_id = '{order}'")[0][0]

    def wait_step(self, order, step):
        wait_until(lambda: self.step(order) == step, f"{order} is {step}", SETTLE_SECONDS)

    def close(self):
        super().close()
        # What nobody may find in a log.
        text = "".join(self.lines)
        assert "4242424242424242" not in text and "4000000000000" not in text
