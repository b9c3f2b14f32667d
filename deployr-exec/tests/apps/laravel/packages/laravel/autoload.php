<?php

// Debian's include_path has /usr/share/php. What its autoloaders leave out is Foundation.
require_once 'Illuminate/autoload.php';

spl_autoload_register(function (string $class): void {
    if (str_starts_with($class, 'Illuminate\\Foundation\\')) {
        $file = '/usr/share/php/' . str_replace('\\', '/', $class) . '.php';
        if (is_file($file)) {
            require $file;
        }
    }
});

require_once 'Illuminate/Foundation/helpers.php';
