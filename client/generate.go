package client

// `make generate` runs these from the OpenAPI documents. `make check-openapi` runs them with another folder in $into, and
// compares.

//go:generate env GOWORK=off go tool -modfile=../tools/openapi/go.mod oapi-codegen -config oapi-codegen.yaml -package account -o ${into}account/client.gen.go ../account-svc/openapi.yaml
//go:generate env GOWORK=off go tool -modfile=../tools/openapi/go.mod oapi-codegen -config oapi-codegen.yaml -package transfer -o ${into}transfer/client.gen.go ../transfer-svc/openapi.yaml
//go:generate env GOWORK=off go tool -modfile=../tools/openapi/go.mod oapi-codegen -config oapi-codegen.yaml -package fee -o ${into}fee/client.gen.go ../fee-svc/openapi.yaml
