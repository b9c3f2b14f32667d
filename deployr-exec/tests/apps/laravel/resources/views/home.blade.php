{{ $version }} {{ config("app.name") }} {{ $notes }}
