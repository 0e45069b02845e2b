"""The judging of records and messages as two tables, a row for each case that the protocol tells apart.

A row is what happened, in the order in which the server has it; who judges at the end of it; and what becomes of each
record or message of the row. Alice founded the conversation with bob and carol (epoch 1) and made bob an admin (epoch
2). A record names the newest version of everybody, but for one by a device that is revoked already: it says that it is
older. `bob2` is bob's second device. The devices, the records, the messages and the judges are the real ones.
"""

from __future__ import annotations

from typing import Final

import pytest

from conversation.story import Row, Story, rows, word_of_message

# The verdicts on records. `asks` waits for a person; `waits` for another record, or for somebody's account record.
# `base` is from before one's own time: it meets the standing rules, and what builds on it is judged.
# `reading` is built on, but nothing is sent in that epoch: the next one is opened first.
# The pin is the epoch up to which the judge judged before, `vault 2` that to which another of its devices did.
RECORDS: Final = """
what happened                                                    | judge | pin     | the records
-----------------------------------------------------------------+-------+---------+------------------------------
bob rotates                                                      | carol | 2       | accepted
bob adds dave, alice removes dave                                | carol | 2       | accepted accepted
bob changes the policy, bob makes carol admin, carol adds dave   | alice | 2       | accepted accepted accepted
nothing                                                          | carol | 0       | accepted accepted

# Invalid: a breach of a standing rule, whoever vouches. What follows waits.
carol adds dave                                                  | alice | 2       | invalid
carol adds dave, bob rotates                                     | alice | 2       | invalid waits
mallory rotates                                                  | alice | 2       | invalid
bob rotates, its signature breaks                                | carol | 2       | invalid
bob rotates, it is of another conversation                       | carol | 2       | invalid
nothing, it begins as another                                    | carol | 0       | invalid waits
bob2 rotates, its version is old                                 | carol | 2       | invalid

# A fork: an alarm, and the one that was judged first stays.
bob rotates, alice rotates beside it                             | carol | 2       | accepted fork
bob rotates, alice rotates beside it, bob rotates                | carol | 2       | accepted fork accepted
bob rotates, judged, alice rotates beside it                     | carol | 2       | accepted fork
bob rotates, carol adds dave beside it                           | alice | 2       | accepted invalid
bob adds dave, alice rotates beside it, bob is revoked           | carol | 2       | asks fork

# What cannot be judged yet.
bob adds dave, dave is not served                                | carol | 2       | waits
bob adds dave, bob rotates, dave is not served                   | carol | 2       | waits waits
bob adds dave, dave is not served, judged, dave is served        | carol | 2       | accepted
bob rotates, epoch 3 is withheld, bob rotates                    | carol | 2       | waits
bob rotates, bob is not served                                   | carol | 2       | waits

# Revoked: what was accepted before stays accepted, what is judged after needs a voucher.
bob adds dave, bob is revoked                                    | carol | 2       | asks
bob adds dave, judged, bob is revoked                            | carol | 2       | accepted
bob adds dave, judged, bob is revoked, alice rotates             | carol | 2       | accepted accepted
bob adds dave, bob is revoked, judged, bob adds mallory          | carol | 2       | asks waits
bob is revoked, bob adds dave                                    | carol | 2       | asks
bob adds dave, bob is revoked, accepted                          | carol | 2       | accepted
bob adds dave, carol rotates, bob is revoked, accepted           | carol | 2       | accepted accepted
bob2 is revoked, bob adds dave                                   | carol | 2       | accepted
bob is reset, bob adds dave                                      | carol | 2       | asks
bob adds dave, bob is reset                                      | carol | 2       | asks
bob adds dave, judged, bob is reset                              | carol | 2       | accepted
bob adds dave, bob is reset, alice rotates                       | carol | 2       | accepted accepted

# Without a voucher, what changes nothing but named versions is for reading; any other waits for a person.
bob rotates, bob is revoked                                      | carol | 2       | reading
bob is revoked, bob rotates                                      | carol | 2       | reading
bob rotates, bob is reset                                        | carol | 2       | reading
carol gets a device, bob rotates, bob is revoked                 | carol | 2       | reading
bob rotates, bob rotates, bob is revoked                         | carol | 2       | reading reading
bob rotates, bob is revoked, judged, alice rotates               | carol | 2       | reading accepted
bob removes carol, bob is revoked                                | alice | 2       | asks
bob lets carol leave, bob is revoked                             | alice | 2       | asks
bob makes carol admin, bob is revoked                            | alice | 2       | asks
bob changes the policy, bob is revoked                           | carol | 2       | asks
bob rotates, bob adds dave, bob rotates, bob is revoked          | carol | 2       | reading asks waits
carol is reset, alice confirms carol, alice is revoked           | bob   | 2       | asks

# A voucher: a later record by a device that is not revoked, of an account that had the right before the judged one.
bob adds dave, alice rotates, bob is revoked                     | carol | 2       | accepted accepted
bob adds dave, bob rotates, alice rotates, bob is revoked        | carol | 2       | accepted accepted accepted
bob rotates, alice rotates, bob is revoked                       | carol | 2       | accepted accepted
bob adds dave, alice rotates, bob is revoked, alice is revoked   | carol | 2       | asks waits
bob adds dave, alice rotates, bob is revoked                     | alice | 2       | accepted accepted
alice rotates, bob adds dave, bob is revoked                     | carol | 2       | accepted asks
# the revoking device's rotation is one
bob gets a device, bob adds dave, bob is revoked, bob2 rotates   | carol | 2       | accepted accepted
# not entitled: a member vouches for what a member may do alone
bob adds dave, carol rotates, bob is revoked                     | alice | 2       | asks waits
bob rotates, carol rotates, bob is revoked                       | alice | 2       | accepted accepted
alice adds dave, bob lets dave leave, carol rotates, bob is revoked | alice | 2    | accepted accepted accepted
# one's own, where one had the right
bob adds dave, carol rotates, bob is revoked                     | carol | 2       | asks waits
# who came in, or up, or back in by the judged record does not vouch for it
bob adds dave, dave rotates, bob is revoked                      | alice | 2       | asks waits
bob adds dave as admin, dave adds mallory, bob is revoked        | alice | 2       | asks waits
bob makes carol admin, carol rotates, bob is revoked             | alice | 2       | asks waits
alice is reset, bob confirms alice as admin, alice rotates, bob is revoked | carol | 2 | asks waits
# who is removed by it had no right to that, and is back only by a later one
alice adds dave, alice makes carol admin, bob removes carol,
  alice adds carol, carol rotates, bob is revoked, alice is revoked | dave | 4   | asks waits waits

# A genesis: its opener's account, under the key that it names, counts as having had every right.
alice is revoked                                                 | carol | 0       | asks waits
bob rotates, alice is revoked                                    | carol | 0       | asks waits waits
alice gets a device, alice is revoked, alice2 rotates            | carol | 0       | accepted accepted accepted
alice is reset, bob confirms alice as admin, alice rotates       | carol | 0       | asks waits waits waits
alice is revoked, accepted                                       | carol | 0       | accepted asks
alice is revoked, accepted, accepted                             | carol | 0       | accepted accepted

# A joiner: the standing rules up to the record that adds it, which it judges.
bob adds dave, bob rotates                                       | dave  | 0       | base base accepted accepted
bob changes the policy, alice adds dave, bob is revoked          | dave  | 0       | base base base accepted
bob adds dave, bob is revoked                                    | dave  | 0       | base base asks
bob adds dave, alice rotates, bob is revoked                     | dave  | 0       | base base accepted accepted
bob adds dave, alice is revoked                                  | dave  | 0       | base base accepted
carol adds dave                                                  | dave  | 0       | base base invalid
bob rotates                                                      | dave  | 0       | base base base
bob adds dave, bob removes dave, bob changes the policy,
  alice adds dave, bob is revoked                                | dave  | 0       | base base base base base accepted

# A returning member: on from its old pin.
bob adds dave, bob removes dave, bob changes the policy,
  alice adds dave, bob is revoked                                | dave  | 4       | accepted accepted
bob adds dave, bob removes dave, bob changes the policy,
  bob adds dave, bob is revoked                                  | dave  | 4       | asks waits
bob adds dave, bob removes dave, bob changes the policy,
  bob adds dave, alice rotates, bob is revoked                   | dave  | 4       | accepted accepted accepted

# A new device: on from what the vault says that the others judged.
bob adds dave, bob is revoked, alice rotates                     | carol | vault 3 | base base base accepted
bob adds dave, bob is revoked                                    | carol | vault 2 | base base asks
alice is revoked                                                 | carol | vault 2 | base base
"""

# The verdicts on messages. `N is withheld`: its record was not served; `N waits`: it cannot be judged yet; `N is
# locked`: nobody granted its key. `judged`: the client was there and took what had come until then.
MESSAGES: Final = """
what happened                                                    | judge | pin     | the messages
-----------------------------------------------------------------+-------+---------+------------------------------
bob writes                                                       | carol | 2       | ordinary
bob writes, alice rotates                                        | carol | 2       | ordinary
bob writes, bob writes for 1                                     | carol | 2       | ordinary late
alice rotates, bob writes for 2, bob writes                      | carol | 2       | late ordinary
alice rotates, bob rotates, carol writes for 2                   | alice | 2       | late

# Certified, under the key of the epoch's roster, in some version from the one named there to the one named next.
mallory writes                                                   | carol | 2       | sender_not_certified
alice removes bob, bob writes                                    | carol | 2       | sender_not_certified
bob gets a device, bob2 writes                                   | carol | 2       | ordinary
bob gets a device, alice rotates, bob2 writes for 2              | carol | 2       | late
bob gets a device, alice rotates, bob2 writes for 1              | carol | 2       | sender_not_certified
alice rotates, bob gets a device, bob2 writes for 2              | carol | 2       | sender_not_certified
alice rotates, bob gets a device, bob2 writes                    | carol | 2       | ordinary
bob gets a device, bob2 writes, alice removes bob                | carol | 2       | ordinary
bob is revoked, alice rotates, bob writes                        | carol | 2       | sender_not_certified
bob is reset, bob gets a device, bob2 writes                     | carol | 2       | sender_not_certified
bob is reset, alice confirms bob, bob gets a device, bob2 writes | carol | 2       | ordinary
bob gets a device, bob2 writes, bob is not served                | carol | 2       | sender_not_certified
bob writes as carol                                              | carol | 2       | sender_not_certified
bob writes with carol's device                                   | carol | 2       | message_tampered

# Refused above any later record that lacks its account or its device.
bob writes, alice removes bob                                    | carol | 2       | ordinary
alice removes bob, bob writes for 2                              | carol | 2       | late_after_removal
alice removes bob, carol writes for 2                            | alice | 2       | late
alice rotates, alice removes bob, bob writes for 2               | carol | 2       | late_after_removal
alice removes bob, alice adds bob, bob writes for 2, bob writes  | carol | 2       | late_after_removal ordinary
bob is revoked, alice rotates, bob writes for 2                  | carol | 2       | late_after_removal
alice rotates, bob is revoked, alice rotates, bob writes for 2   | carol | 2       | late_after_removal
bob is reset, alice confirms bob, bob writes for 2               | carol | 2       | late_after_removal
alice removes bob, judged, bob writes for 2                      | carol | 2       | late_after_removal

# Marked: written by a device that was revoked since, or of an account that was reset, unless the client was there.
bob writes, bob is revoked                                       | carol | 2       | marked
bob is revoked, bob writes                                       | carol | 2       | marked
bob writes, judged, bob is revoked                               | carol | 2       | ordinary
bob writes, judged, bob is revoked, bob writes                   | carol | 2       | ordinary marked
bob writes, bob is revoked, alice rotates                        | carol | 2       | marked
bob writes, bob is reset                                         | carol | 2       | marked
bob writes, judged, bob is reset                                 | carol | 2       | ordinary
bob writes, bob is reset, alice confirms bob                     | carol | 2       | marked
bob gets a device, bob writes, bob2 is revoked                   | carol | 2       | ordinary
alice rotates, bob writes for 2, bob is revoked                  | carol | 2       | late+marked

# Once.
bob writes, it comes again                                       | carol | 2       | ordinary replayed
bob writes, judged, it comes again                               | carol | 2       | ordinary replayed
bob writes, bob repeats it                                       | carol | 2       | ordinary repeated
bob writes, alice rotates, bob repeats it                        | carol | 2       | ordinary repeated
bob writes, carol repeats it                                     | carol | 2       | ordinary ordinary
bob writes, alice removes bob, it comes again                    | carol | 2       | ordinary replayed

# Epochs that are not there, and places that are not theirs.
alice rotates, bob writes, 3 is withheld                         | carol | 2       | record_missing
alice rotates, bob writes, 3 is withheld, judged, 3 is served    | carol | 2       | ordinary
alice rotates, bob writes, 3 waits                               | carol | 2       | record_pending
# what stands behind a record that waits does too: it may be the sender's removal
alice removes bob, bob writes for 2, 3 waits                     | carol | 2       | record_pending
alice removes bob, bob writes for 2, 3 waits, judged, 3 is served | carol | 2      | late_after_removal
alice rotates, bob writes for 2, 3 waits, judged, 3 is served    | carol | 2       | late
bob writes, alice removes bob, 3 waits                           | carol | 2       | ordinary
bob writes, 2 is locked                                          | carol | 2       | no_grant
bob writes, 2 is locked, judged, 2 is served                     | carol | 2       | ordinary
alice rotates, bob writes, swapped                               | carol | 2       | message_tampered
alice rotates beside it, bob writes for the fork                 | carol | 2       | message_tampered
alice rotates beside it, bob writes for the fork, 2 is locked    | carol | 2       | message_tampered
bob writes, it names another record                              | carol | 2       | message_tampered
bob writes, it is changed                                        | carol | 2       | message_tampered
bob writes, its type is later                                    | carol | 2       | unsupported_suite
"""


@pytest.mark.parametrize("row", rows(RECORDS), ids=lambda row: f"{row.judge} {row.pin}: {row.story}")
def test_records_are_judged_as_the_protocol_says(row: Row) -> None:
    story = Story(row)
    assert " ".join(word for _, word in sorted(story.places.items())) == row.verdicts


@pytest.mark.parametrize("row", rows(MESSAGES), ids=lambda row: f"{row.judge} {row.pin}: {row.story}")
def test_messages_are_judged_as_the_protocol_says(row: Row) -> None:
    story = Story(row)
    assert " ".join(word_of_message(verdict) for _, verdict in sorted(story.said.items())) == row.verdicts
