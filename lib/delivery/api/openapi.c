/* SPDX-License-Identifier: BSD-3-Clause */
/* The description of /api/v2 that the manager serves. */
#include "api.h"

#define OP(text)      "{\"summary\":\"" text "\",\"responses\":{\"default\":{\"description\":\"JSON\"}}}"
#define GET(text)     "\"get\":" OP(text)
#define POST(text)    "\"post\":" OP(text)
#define PUT(text)     "\"put\":" OP(text)
#define DELETE_(text) "\"delete\":" OP(text)
#define PATH(p, ops)  "\"" p "\":{" ops "}"

const char *openapi_text(void)
{
	return "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"Lodestone "
	       "manager\",\"version\":\"2\"},"
	       "\"servers\":[{\"url\":\"/api/v2\"}],\"paths\":{" PATH(
		       "/health", GET("Is it alive")) "," PATH("/devices",
		       GET("Devices, a page") "," POST(
			       "Register a device")) "," PATH("/devices/{id}",
		       GET("One device") "," DELETE_(
			       "Unregister a device")) "," PATH("/devices/{id}/heartbeat",
		       POST("What a device runs; answers what it is to run")) "," PATH("/fleets",
		       GET("Fleets, a page") "," POST("Make a fleet")) "," PATH("/fleets/{id}",
		       GET("One fleet with its devices")) "," PATH("/fleets/{id}/devices/{device}",
		       POST("Add a device") "," DELETE_(
			       "Take a device out")) "," PATH("/fleets/{id}/deploy",
		       POST("Start a campaign over the fleet")) "," PATH("/fleets/{id}/status",
		       GET("Devices by state")) "," PATH("/models",
		       GET("Names of all models")) "," PATH("/models/{model}",
		       GET("Versions of a model")) "," PATH("/models/{model}/versions/{version}",
		       POST("Upload a version in one body") "," DELETE_(
			       "Delete a version")) "," PATH("/models/{model}/versions/{version}/"
							     "pin",
		       POST("Keep, or no longer, whatever happens")) "," PATH("/models/{model}/"
									      "versions/{version}/"
									      "download",
		       GET("The file, or a patch from X-Oxide-Base-Version")) "," PATH("/models/"
										       "{model}/"
										       "versions/"
										       "{version}/"
										       "meta",
		       GET("Size and hash")) "," PATH("/uploads",
		       POST("Begin an upload that can be continued")) "," PATH("/uploads/{id}",
		       GET("How much is here") "," PUT("Append at Upload-Offset; Upload-Complete: "
						       "?1 ends")) "," PATH("/campaigns",
		       GET("Campaigns, a page") "," POST(
			       "Start a campaign")) "," PATH("/campaigns/{id}",
		       GET("A campaign with every device")) "," PATH("/campaigns/{id}/{verb}",
		       POST("pause, resume, abort or approve")) "," PATH("/tokens",
		       POST("Make an access token")) "," PATH("/audit",
		       GET("The audit log and whether its chain holds")) "}}";
}
