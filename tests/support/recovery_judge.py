"""Reads what a client noted about one channel and says whether every offset came once and in order, or
what was missed was missed honestly.

    judge(notes, channel, everything, acknowledged, top)     raises Unfair with the place

Notes are what event_script prints with "positions": events (server_)subscribed and
(server_)publication, in order.  The rules, whatever happened to connections and servers:
    first           a subscription that begins with nothing has not been recovering
    again           each later one asked for what was missed: was_recovering
    recovered       the next publication is the one after the last, in the same epoch
    lost            only where the epoch is another one, or more was missed than the channel keeps;
                    what follows goes on without a gap from a place not beyond the reply's offset
    publication     the offset after the last, with the payload that everybody saw there, and which
                    the publisher was told; numbers of payloads only grow
    stored          wh_sub_position inside a callback is what came before that callback
    end             the last offset that the server has
"""

import dataclasses


class Unfair(AssertionError):
    """A client saw what it must not see; the text has the notes around it."""


@dataclasses.dataclass(frozen=True)
class Channel:
    name: str
    history_size: int


@dataclasses.dataclass
class Tally:
    publications: int = 0
    recovered: int = 0
    lost: int = 0

    def __add__(self, other):
        return Tally(*(a + b for a, b in zip(dataclasses.astuple(self),
                                             dataclasses.astuple(other))))


class Reader:
    """Goes through the notes once; `at` is the note it looks at."""

    def __init__(self, notes, channel, everything):
        self.notes = notes
        self.channel = channel
        self.everything = everything  # (channel, epoch, offset) -> number, as anybody saw it
        self.epoch = None
        self.offset = None
        self.low = None  # after a loss: the place is somewhere from here to `offset`
        self.number = 0
        self.tally = Tally()
        self.at = 0

    def insist(self, is_fair, what):
        if not is_fair:
            around = "\n  ".join(map(str, self.notes[max(0, self.at - 6):self.at + 2]))
            raise Unfair(f"{self.channel.name}, note {self.at}: {what}\n  {around}")

    def read(self):
        for self.at, note in enumerate(self.notes):
            if note["event"].endswith("subscribed"):
                self.begin(note)
            else:
                self.take(note)
        return self.tally

    def check_stored(self, note):
        """The library's own position; after a loss it tells from where the client goes on."""
        if "stored" not in note:
            return
        if self.epoch is None:
            self.insist(note["stored"] is None, "a position before anything came")
            return
        self.insist(note["stored"] is not None, "no position")
        epoch, offset = note["stored"]
        self.insist(epoch == self.epoch and (self.low or self.offset) <= offset <= self.offset,
                    f"stored {offset} of {epoch} behind {self.offset} of {self.epoch}")
        self.low, self.offset = None, offset

    def begin(self, note):
        epoch, offset = note["epoch"], note["offset"]
        self.check_stored(note)
        self.insist(note["recoverable"], "not recoverable")
        self.insist(note["was_recovering"] == (self.epoch is not None),
                    "began anew and did not ask for what it missed" if self.epoch is not None
                    else "recovers what it never had")
        if note["recovered"]:
            self.insist(epoch == self.epoch, f"recovered into {epoch} from {self.epoch}")
            # Who leaves inside a callback asks from before it, because it has not returned.
            self.insist(offset + 1 >= (self.low or self.offset),
                        f"recovered to {offset}, from {self.offset}")
            self.tally.recovered += 1
            return
        if self.epoch is None:
            self.epoch, self.offset = epoch, offset
            return
        missed = offset - (self.low or self.offset)
        self.insist(epoch != self.epoch or missed > self.channel.history_size,
                    f"lost, and only {missed} of {self.channel.history_size} were missed")
        self.tally.lost += 1
        self.low = 0 if epoch != self.epoch else self.offset
        self.epoch, self.offset = epoch, offset

    def take(self, note):
        offset, number = note["offset"], note["data"]["n"]
        self.insist(self.epoch is not None, "a publication before subscribed")
        self.check_stored(note)
        if self.low is None:
            self.insist(offset == self.offset + 1, f"{offset} after {self.offset}")
        else:
            self.insist(self.low < offset <= self.offset + 1,
                        f"{offset} after a loss from {self.low} to {self.offset}")
        place = self.channel.name, self.epoch, offset
        seen = self.everything.setdefault(place, number)
        self.insist(seen == number, f"payload {number} at {offset}, where others saw {seen}")
        self.insist(number > self.number, f"payload {number} after {self.number}")
        self.offset, self.low, self.number = offset, None, number
        self.tally.publications += 1

    def end(self, top):
        self.at = len(self.notes)
        is_there = self.epoch == top[0] and (self.low or self.offset) <= top[1] <= self.offset
        self.insist(is_there, f"at {self.offset} of {self.epoch} in the end, the server at {top}")


def place_of(notes):
    """Where a client is that noted this: (epoch, offset) or None.  For waiting; judge() is strict."""
    for at in range(len(notes) - 1, -1, -1):
        if not notes[at]["event"].endswith("subscribed"):
            continue
        later = notes[at + 1:]
        if later:
            return notes[at]["epoch"], later[-1]["offset"]
        if not notes[at]["recovered"] or at == 0:
            return notes[at]["epoch"], notes[at]["offset"]
        return notes[at]["epoch"], place_of(notes[:at])[1]
    return None


def judge(notes, channel, everything, acknowledged, top):
    """One client and one channel.  `everything` is one dictionary for all clients; `acknowledged`
    what the publisher was told, (channel, epoch, offset) -> number; `top`: (epoch, offset)."""
    for place, number in acknowledged.items():
        if place[0] == channel.name:
            everything.setdefault(place, number)
    reader = Reader(notes, channel, everything)
    tally = reader.read()
    reader.end(top)
    return tally
