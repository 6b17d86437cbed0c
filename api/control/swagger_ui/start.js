SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // The badge would send the document's address to a validator elsewhere.
  validatorUrl: null,
});
