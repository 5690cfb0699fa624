/*
 * Transcripts of the SDK's engine: tests/golden/sdk/NAME.jsonl, one step a line.
 *
 *   {"case":"a claim","options":{…},"only":"json"}   a new engine (options as text, plus
 *                                  "get_token":true, "emulated_headers":{…}); `only` one encoding
 *                                  or an array of them; "bare_texts":true: see fake_sdk.h;
 *                                  "given":"connected" by its first command
 * what happens to it
 *   {"do":"connect"}               and the other verbs of sdk_step.h
 *   {"call":"rpc",…,"err":…}       a call; `err` (default WH_OK) is how its start ends
 *   {"opened":true}                by the transport, in the encoding of this run; or "json"
 *   {"closed":3001,"reason":""}    by the server; "error":{"http_status":503,"text":…} = never open
 *   {"in":{…}} {"in":[…]}          a frame of replies; {"in_text":"…"} bytes as they are
 *   … "connection":1               opened, closed, in: an earlier connection
 *   {"advance":1000}               milliseconds pass
 *   … "waiting":true               while events still wait for their callbacks
 * what must have come of it, in order; nothing may be left over at the next thing that happens
 *   {"open":0}                     ENGINE_OPEN with that URL;  {"close":1000} ENGINE_CLOSE
 *   {"out":[…]}                    one frame with exactly these commands
 *   {"event":"connecting",…}       an event with (at least) these members;
 *                                  "inside":[…] happens in its callback
 *   {"state":"connected"} {"ping":true} {"retry":[500,1000]}   a timer runs that is due in that
 *                                  range
 *   {"state":"subscribed","channel":…} {"retry":[…],"channel":…}   the same of a subscription
 *   {"position":{"offset":5,"epoch":"e"},"channel":…}   what a program would store; null = nothing
 */
#ifndef WH_TEST_SDK_TRANSCRIPT_H
#define WH_TEST_SDK_TRANSCRIPT_H

#include "tests/support/fake_sdk.h"

/* Run all cases of a file in one encoding; the first mismatch fails the cmocka test. */
void sdk_transcript_run(const char *path, enum wh_encoding encoding);

/* Every case again and again with the nth allocation failing.  Nothing may crash or leak.  Returns
 * how many failed. */
size_t sdk_transcript_torture(const char *path, enum wh_encoding encoding);

/* The lines of a file in this form as an array, null for those that are for people.  The caller's.
 */
json_t *sdk_transcript_load(const char *path);

/* Whether a line's "only" has that encoding; it has all when there is none. */
bool sdk_transcript_is_for(const json_t *step, enum wh_encoding encoding);

#endif
