/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl manager nginx: the web server in front of the manager, or as a caching relay at another site. It ends TLS 1.3,
 * checks client certificates, sends blobs by sendfile, and says who asks in headers that no client can set. */
#include "manager.h"

#include <stdlib.h>

#define VALUE_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/:@-[],"

struct setting {
	const char *key, *value;
};

/* @key@ in a template is the setting's value. */
static const char common[] = "# Made by `lodectl manager nginx`; made again rather than edited.\n"
			     "@user_line@worker_processes auto;\n"
			     "pid @run@/nginx.pid;\n"
			     "error_log stderr warn;\n"
			     "events {\n"
			     "\tworker_connections 4096;\n"
			     "}\n"
			     "http {\n"
			     "\taccess_log off;\n"
			     "\tserver_tokens off;\n"
			     "\tdefault_type application/octet-stream;\n"
			     "\tsendfile on;\n"
			     "\ttcp_nopush on;\n"
			     "\tclient_header_timeout 10s;\n"
			     "\tclient_body_timeout 60s;\n"
			     "\tsend_timeout 60s;\n"
			     "\tclient_body_temp_path @run@/body;\n"
			     "\tproxy_temp_path @run@/proxy;\n"
			     "\tfastcgi_temp_path @run@/fastcgi;\n"
			     "\tuwsgi_temp_path @run@/uwsgi;\n"
			     "\tscgi_temp_path @run@/scgi;\n";

static const char front[] =
	"\t# Strangers are counted by address, everybody else by certificate: many stand behind "
	"one NAT.\n"
	"\tlimit_req_zone $binary_remote_addr zone=strangers:1m rate=30r/m;\n"
	"\tlimit_req_zone $ssl_client_serial zone=clients:10m rate=20r/s;\n"
	"\tlimit_conn_zone $ssl_client_serial zone=transfers:10m;\n"
	"\tlimit_req_status 429;\n"
	"\tlimit_conn_status 429;\n"
	"\tupstream manager {\n"
	"\t\tserver unix:@socket@;\n"
	"\t\tkeepalive 16;\n"
	"\t}\n"
	"\tserver {\n"
	"@listen_lines@"
	"\t\tssl_protocols TLSv1.3;\n"
	"\t\tssl_certificate @tls@/server.pem;\n"
	"\t\tssl_certificate_key @tls@/server.pem;\n"
	"\t\tssl_client_certificate @tls@/ca.pem;\n"
	"\t\tssl_verify_client optional; # who enrols has none yet\n"
	"\t\tssl_verify_depth 1;\n"
	"\t\tssl_session_cache shared:tls:10m;\n"
	"\t\tssl_session_tickets off;\n"
	"\t\tclient_max_body_size 2m;\n"
	"\t\tproxy_http_version 1.1;\n"
	"\t\tproxy_read_timeout 300s;\n"
	"\t\t# Whatever a client sends under these names is replaced.\n"
	"\t\tproxy_set_header Connection \"\";\n"
	"\t\tproxy_set_header Host $host;\n"
	"\t\tproxy_set_header X-Lodestone-Verified $ssl_client_verify;\n"
	"\t\tproxy_set_header X-Lodestone-Serial $ssl_client_serial;\n"
	"\t\tproxy_set_header X-Forwarded-For $remote_addr;\n"
	"\t\tadd_header Strict-Transport-Security \"max-age=31536000\" always;\n"
	"\n"
	"\t\tlocation ~ ^/api/v2/(enrol|ca|health)$ {\n"
	"\t\t\tlimit_req zone=strangers burst=10 nodelay;\n"
	"\t\t\tclient_max_body_size 64k;\n"
	"\t\t\tproxy_pass http://manager;\n"
	"\t\t}\n"
	"\t\tlocation ~ ^/api/(v[12]/models/[^/]+/versions/[^/]+|v2/uploads/[^/]+)$ {\n"
	"\t\t\tif ($ssl_client_verify != SUCCESS) {\n"
	"\t\t\t\treturn 401;\n"
	"\t\t\t}\n"
	"\t\t\tlimit_req zone=clients burst=40 nodelay;\n"
	"\t\t\tlimit_conn transfers 8;\n"
	"\t\t\tclient_max_body_size 8g;\n"
	"\t\t\tproxy_request_buffering off;\n"
	"\t\t\tproxy_pass http://manager;\n"
	"\t\t}\n"
	"\t\tlocation / {\n"
	"\t\t\tif ($ssl_client_verify != SUCCESS) {\n"
	"\t\t\t\treturn 401;\n"
	"\t\t\t}\n"
	"\t\t\tlimit_req zone=clients burst=40 nodelay;\n"
	"\t\t\tlimit_conn transfers 8;\n"
	"\t\t\tproxy_pass http://manager;\n"
	"\t\t}\n"
	"\t\t# Only the manager's X-Accel-Redirect leads here. The tag is the manager's own, so "
	"that a\n"
	"\t\t# transfer goes on at another manager too.\n"
	"\t\tlocation /blobs/ {\n"
	"\t\t\tinternal;\n"
	"\t\t\talias @blobs@/;\n"
	"\t\t\tetag off;\n"
	"\t\t\tadd_header ETag $upstream_http_etag;\n"
	"\t\t\tadd_header X-Content-Type-Options nosniff;\n"
	"\t\t\tadd_header X-Oxide-SHA256 $upstream_http_x_oxide_sha256;\n"
	"\t\t\tadd_header X-Oxide-Delta-Strategy $upstream_http_x_oxide_delta_strategy;\n"
	"\t\t\tadd_header X-Oxide-Delta-Base $upstream_http_x_oxide_delta_base;\n"
	"\t\t\tadd_header X-Oxide-Target-SHA256 $upstream_http_x_oxide_target_sha256;\n"
	"\t\t\tadd_header X-Oxide-Target-Size $upstream_http_x_oxide_target_size;\n"
	"\t\t}\n"
	"\t}\n"
	"}\n";

static const char relay[] =
	"\t# Bytes by their hash: who fetches them compares the hash, so nobody has to believe "
	"this cache.\n"
	"\tproxy_cache_path @cache@ levels=1:2 keys_zone=blobs:10m max_size=@size@ inactive=30d "
	"use_temp_path=off;\n"
	"\tlimit_conn_zone $binary_remote_addr zone=transfers:10m;\n"
	"\tserver {\n"
	"@listen_lines@"
	"\t\tlocation ~ ^/api/v2/blobs/[0-9a-f]+$ {\n"
	"\t\t\tlimit_except GET {\n"
	"\t\t\t\tdeny all;\n"
	"\t\t\t}\n"
	"\t\t\tlimit_conn transfers 8;\n"
	"\t\t\tslice 1m;\n"
	"\t\t\tproxy_cache blobs;\n"
	"\t\t\tproxy_cache_key $uri$slice_range;\n"
	"\t\t\tproxy_cache_valid 200 206 30d;\n"
	"\t\t\tproxy_cache_lock on;\n"
	"\t\t\tproxy_cache_lock_timeout 60s;\n"
	"\t\t\tproxy_set_header Range $slice_range;\n"
	"\t\t\tproxy_http_version 1.1;\n"
	"\t\t\tproxy_pass @origin@;\n"
	"\t\t\tproxy_ssl_protocols TLSv1.3;\n"
	"\t\t\tproxy_ssl_certificate @tls@/identity.pem;\n"
	"\t\t\tproxy_ssl_certificate_key @tls@/identity.pem;\n"
	"\t\t\tproxy_ssl_trusted_certificate @tls@/ca.pem;\n"
	"\t\t\tproxy_ssl_verify on;\n"
	"\t\t\t# Every manager's certificate has this name too; nginx compares no addresses.\n"
	"\t\t\tproxy_ssl_name lodestone-manager;\n"
	"\t\t\tadd_header X-Cache $upstream_cache_status;\n"
	"\t\t}\n"
	"\t\tlocation / {\n"
	"\t\t\treturn 404;\n"
	"\t\t}\n"
	"\t}\n"
	"}\n";

static const char *find(const struct setting *settings, const char *key, size_t len)
{
	for (; settings->key; settings++)
		if (strlen(settings->key) == len && !strncmp(settings->key, key, len))
			return settings->value;
	return "";
}

static void print_template(const char *text, const struct setting *settings)
{
	while (*text) {
		size_t plain = strcspn(text, "@");
		fwrite(text, 1, plain, stdout);
		text += plain;
		if (!*text)
			return;
		size_t len = strcspn(text + 1, "@");
		fputs(find(settings, text + 1, len), stdout);
		text += len + 2;
	}
}

static int take(struct setting *settings, size_t n, const char *argument)
{
	const char *value = strchr(argument, '=');
	size_t len = value ? (size_t)(value - argument) : 0;
	if (!value || !value[1] || value[1 + strspn(value + 1, VALUE_CHARS)])
		return complain(EXIT_OTHER, "'%s': KEY=VALUE is expected, the value of %s",
			argument, VALUE_CHARS);
	for (struct setting *s = settings; s < settings + n; s++)
		if (strlen(s->key) == len && !strncmp(s->key, argument, len)) {
			s->value = value + 1;
			return EXIT_OK;
		}
	complain(EXIT_OTHER, "'%s': no such key; they are", argument);
	for (struct setting *s = settings; s < settings + n; s++)
		fprintf(stderr, "  %-8s default '%s'\n", s->key, s->value);
	return EXIT_OTHER;
}

/* One line for each address: "8443,[::]:8443". */
static void listen_lines(const char *list, const char *options, char *lines, size_t size)
{
	size_t n = 0;
	while (*list && n < size) {
		size_t len = strcspn(list, ",");
		n += (size_t)snprintf(
			lines + n, size - n, "\t\tlisten %.*s%s;\n", (int)len, list, options);
		list += len + (list[len] == ',');
	}
}

int manager_nginx(struct lodectl *ctl, int argc, char **argv)
{
	char user_line[100] = "", lines[600] = "";
	struct setting settings[] = {
		{"listen", "8443"},
		{"socket", "/run/lodestone-manager/manager.sock"},
		{"blobs", "/var/lib/lodestone-manager/blobs"},
		{"tls", "/var/lib/lodestone-manager/ca"},
		{"run", "/run/lodestone-nginx"},
		{"user", ""},
		{"origin", ""},
		{"cache", "/var/cache/lodestone-nginx"},
		{"size", "10g"},
		/* Made of those before. */
		{"user_line", user_line},
		{"listen_lines", lines},
		{NULL, NULL},
	};
	const size_t n_settable = LODE_ARRAY_LEN(settings) - 3;
	int code = EXIT_OK;
	(void)ctl;
	for (int i = 0; i < argc && !code; i++)
		code = take(settings, n_settable, argv[i]);
	if (code)
		return code;
	const char *user = find(settings, "user", 4), *origin = find(settings, "origin", 6);
	if (*user)
		snprintf(user_line, sizeof(user_line), "user %.60s;\n", user);
	listen_lines(
		find(settings, "listen", 6), *origin ? "" : " ssl http2", lines, sizeof(lines));
	print_template(common, settings);
	print_template(*origin ? relay : front, settings);
	return EXIT_OK;
}
