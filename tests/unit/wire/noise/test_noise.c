/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_aead.h"
#include "lode_noise.h"

#include <stdio.h>

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;
	for (size_t i = 0; i < n; i++) {
		unsigned byte;
		cr_assert_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
	return n;
}

/* Values of vectors/cacophony.txt (github.com/haskell-cryptography/cacophony, public domain): keys are
 * the same in both patterns, messages 0 and 1 are the handshake, 2 to 5 transport in turns. */
#define PROLOGUE   "4a6f686e2047616c74"
#define INIT_S	   "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1"
#define INIT_E	   "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"
#define RESP_PUB   "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62"
#define RESP_S	   "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893"
#define RESP_E	   "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"
#define PSK	   "54686973206973206d7920417573747269616e20706572737065637469766521"
#define N_MESSAGES 6

static const char *const payloads[N_MESSAGES] = {
	"4c756477696720766f6e204d69736573",
	"4d757272617920526f746862617264",
	"462e20412e20486179656b",
	"4361726c204d656e676572",
	"4a65616e2d426170746973746520536179",
	"457567656e2042f6686d20766f6e2042617765726b",
};

static const struct vector {
	enum lode_noise_pattern pattern;
	const char *hash, *messages[N_MESSAGES];
} vectors[] = {
	{LODE_NOISE_IK, "669c8640d9e42a3cda2f232f78597ceefb01daa6e3df81181ccce6fc6b5026bf",
		{"ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
		 "4e417bc55c7a8166c993356c1be41ef67818a292426f301556c7f26b21d25ddb"
		 "097153891a9a956cff47b83e63ad8d701c1342c209cff1ca5ecd43402762ac24"
		 "9e3bd3a4c0a145fe07cb5dae28ea13a3",
			"95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
			"af2ccf9972e22afc67aeafcd25162f7f98c363b7762e3e4cb7d272e39f27a5",
			"66acfc92e3197de166809e6d4d5d003dcc819a84bc3522ca53c9d9",
			"71f89aa6533a6de70b0826864dd75f60806ee40170c16290189eb3",
			"4795a3423550c8bf00386bd496a3e2c76c10669d2a75ab8f79b5094c5412a25705",
			"aa0bb39097555c918e40be82abc2b909eb79d9eb87adb07e268fc37323a6cf90"
			"4fd01fb391"}},
	{LODE_NOISE_IKPSK2, "48c3f1eb397c797af6b139032c6074cb41282ff033ee25d5aee4a4badd3a2c3f",
		{"ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
		 "5a1baf339186d7867062b0dd31f5de322d370165d217939b2b7ed9e2bae78404"
		 "58ea65c2ce1554e0e8077fe7334c4bd514c658fd04d97b86d216f58f59714a7e"
		 "24144155045c8f36bed85a2cb0fd9af7",
			"95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
			"2fe8d675e949799d2a968211a66cc7ba2b0f4cad8eda3c2bd37eae737bbf88",
			"38cbf3835c78b7802df0dd0d9640ff8575debd0cb61cfb52590da1",
			"ffc365ff6955fc66c5d809b31ac995f812c5770bd29f0df12f0ffd",
			"a7f2828174c4ead2491ffeb77c41c890fd1229ee36f23ccb9066a795daff1cad6b",
			"3b86963d5c0e6e3b4153d77153836606393eefc4e5e6dae97796552d1265839e"
			"e3825cb80c"}},
};

struct pair {
	struct lode_noise init, resp;
	uint8_t init_e[32], resp_e[32];
};

static void start(struct pair *p, enum lode_noise_pattern pattern)
{
	uint8_t prologue[16], init_s[32], resp_s[32], resp_pub[32], pub[32], psk[32];
	size_t prologue_bytes = unhex(PROLOGUE, prologue);
	unhex(INIT_S, init_s);
	unhex(RESP_S, resp_s);
	unhex(RESP_PUB, resp_pub);
	unhex(PSK, psk);
	unhex(INIT_E, p->init_e);
	unhex(RESP_E, p->resp_e);
	cr_assert_eq(lode_noise_public_key(resp_s, pub), 0);
	cr_assert_arr_eq(pub, resp_pub, 32);
	struct lode_noise_pair init, resp;
	cr_assert_eq(lode_noise_make_pair(init_s, &init), 0);
	cr_assert_eq(lode_noise_make_pair(resp_s, &resp), 0);
	lode_noise_start_initiator(
		&p->init, pattern, &init, resp_pub, psk, prologue, prologue_bytes);
	lode_noise_start_responder(&p->resp, pattern, &resp, prologue, prologue_bytes);
	lode_noise_set_psk(&p->resp, psk);
}

static void check_handshake(const struct vector *v, uint8_t keys[2][32])
{
	struct pair p;
	uint8_t payload[64], want[256], got[256], back[256], other[2][32];
	start(&p, v->pattern);
	for (int m = 0; m < 2; m++) {
		size_t len = unhex(payloads[m], payload), want_bytes = unhex(v->messages[m], want);
		int n = m ? lode_noise_write_response(&p.resp, p.resp_e, payload, len, got)
			  : lode_noise_write_init(&p.init, p.init_e, payload, len, got);
		cr_assert_eq(n, want_bytes);
		cr_assert_arr_eq(got, want, want_bytes, "message %d", m);
		n = m ? lode_noise_read_response(&p.init, got, want_bytes, back)
		      : lode_noise_read_init(&p.resp, got, want_bytes, back);
		cr_assert_eq(n, len);
		cr_assert_arr_eq(back, payload, len);
	}
	unhex(v->hash, want);
	cr_assert_arr_eq(p.init.hash, want, 32);
	cr_assert_arr_eq(p.resp.hash, want, 32);
	cr_assert_eq(lode_noise_split(&p.init, keys[0], keys[1]), 0);
	cr_assert_eq(lode_noise_split(&p.resp, other[0], other[1]), 0);
	cr_assert_arr_eq(keys, other, sizeof(other));
}

Test(noise, published_vectors)
{
	struct lode_aead *aead = lode_aead_new("openssl", NULL);
	for (size_t v = 0; v < LODE_ARRAY_LEN(vectors); v++) {
		uint8_t keys[2][32];
		check_handshake(&vectors[v], keys);
		for (unsigned m = 2; m < N_MESSAGES; m++) {
			uint8_t data[128], want[128];
			struct lode_aead_key *key = lode_aead_key_new(aead, keys[m % 2], 0);
			struct lode_aead_op op = {.data = data, .nonce = (m - 2) / 2};
			op.text_bytes = (uint16_t)unhex(payloads[m], data);
			lode_aead_seal_burst(key, &op, 1);
			size_t len = unhex(vectors[v].messages[m], want);
			cr_assert_eq(len, op.text_bytes + 16u);
			cr_assert_arr_eq(data, want, len, "transport message %u", m);
			lode_aead_key_free(key);
		}
	}
	lode_aead_free(aead);
}

Test(noise, every_flipped_bit_of_an_initiation_is_refused)
{
	struct pair p;
	uint8_t msg[160], payload[160];
	start(&p, LODE_NOISE_IK);
	int len = lode_noise_write_init(&p.init, p.init_e, "hello", 5, msg);
	for (int bit = 0; bit < len * 8; bit++) {
		struct lode_noise r = p.resp;
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_eq(lode_noise_read_init(&r, msg, (size_t)len, payload), -EBADMSG);
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (int cut = 0; cut < len; cut++) {
		struct lode_noise r = p.resp;
		cr_assert_eq(lode_noise_read_init(&r, msg, (size_t)cut, payload), -EBADMSG);
	}
}

Test(noise, a_forged_response_does_not_spoil_the_handshake)
{
	struct pair p;
	uint8_t msg[160], forged[160], payload[160];
	start(&p, LODE_NOISE_IK);
	int len = lode_noise_write_init(&p.init, p.init_e, "a", 1, msg);
	cr_assert_eq(lode_noise_read_init(&p.resp, msg, (size_t)len, payload), 1);
	len = lode_noise_write_response(&p.resp, p.resp_e, "bc", 2, msg);
	for (int byte = 0; byte < len; byte++) {
		memcpy(forged, msg, sizeof(msg));
		forged[byte] ^= 1;
		cr_assert_eq(
			lode_noise_read_response(&p.init, forged, (size_t)len, payload), -EBADMSG);
	}
	cr_assert_eq(lode_noise_read_response(&p.init, msg, (size_t)len, payload), 2);
	cr_assert_arr_eq(payload, "bc", 2);
}

Test(noise, another_psk_does_not_match)
{
	struct pair p;
	uint8_t msg[160], payload[160], psk[32] = {1};
	start(&p, LODE_NOISE_IKPSK2);
	lode_noise_set_psk(&p.resp, psk);
	int len = lode_noise_write_init(&p.init, p.init_e, "a", 1, msg);
	cr_assert_eq(lode_noise_read_init(&p.resp, msg, (size_t)len, payload), 1);
	len = lode_noise_write_response(&p.resp, p.resp_e, "b", 1, msg);
	cr_assert_eq(lode_noise_read_response(&p.init, msg, (size_t)len, payload), -EBADMSG);
}

Test(noise, points_of_low_order_are_refused)
{
	struct pair p;
	uint8_t msg[LODE_NOISE_INIT_BYTES] = {0}, payload[160];
	start(&p, LODE_NOISE_IK);
	cr_assert_eq(lode_noise_read_init(&p.resp, msg, sizeof(msg), payload), -EBADMSG);
}

Test(noise, lane_keys_differ_and_repeat)
{
	uint8_t transport[32] = {7};
	struct lode_noise_lane_key lanes[8], again;
	for (unsigned i = 0; i < 8; i++)
		cr_assert_eq(lode_noise_lane_key(transport, i, &lanes[i]), 0);
	for (unsigned i = 0; i < 8; i++)
		for (unsigned j = 0; j < i; j++)
			cr_assert(memcmp(lanes[i].key, lanes[j].key, 32) &&
				  lanes[i].salt != lanes[j].salt);
	lode_noise_lane_key(transport, 3, &again);
	cr_assert_arr_eq(again.key, lanes[3].key, 32);
	transport[0] = 8;
	lode_noise_lane_key(transport, 3, &again);
	cr_assert(memcmp(again.key, lanes[3].key, 32));
}

Test(noise, mac_is_hmac_sha256_of_rfc_4231)
{
	/* Test case 2. */
	uint8_t mac[16], want[16];
	unhex("5bdcc146bf60754e6a042426089575c7", want);
	cr_assert_eq(
		lode_noise_mac((const uint8_t *)"Jefe", 4, "what do ya want for nothing?", 28, mac),
		0);
	cr_assert_arr_eq(mac, want, 16);
}

Test(noise, cookies_open_for_their_message_only)
{
	uint8_t pub[32] = {1}, nonce[16] = {2}, mac1[16] = {3}, cookie[16] = {4}, out[16];
	uint8_t sealed[LODE_NOISE_COOKIE_BYTES];
	struct lode_noise_mac_keys keys, other;
	cr_assert_eq(lode_noise_mac_keys(pub, &keys), 0);
	pub[0] = 9;
	cr_assert_eq(lode_noise_mac_keys(pub, &other), 0);
	cr_assert_eq(lode_noise_seal_cookie(&keys, nonce, mac1, cookie, sealed), 0);
	cr_assert_eq(lode_noise_open_cookie(&keys, mac1, sealed, out), 0);
	cr_assert_arr_eq(out, cookie, 16);
	cr_assert_eq(lode_noise_open_cookie(&other, mac1, sealed, out), -EBADMSG);
	mac1[0] ^= 1;
	cr_assert_eq(lode_noise_open_cookie(&keys, mac1, sealed, out), -EBADMSG);
}
