<?php

namespace App\Http;

use Illuminate\Support\Facades\DB;

class Home
{
    public const VERSION = '1';

    public function __invoke()
    {
        return view('home', ['version' => self::VERSION, 'notes' => DB::table('notes')->count()]);
    }
}
